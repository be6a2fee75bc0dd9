//! Real things to test Lowtide against.
