//! A simulated fleet, clock and catalog for Lowtide.
