//! The hands of Lowtide: clients of platforms and stores.
