//! The program's parts, as a library so that tests reach them: the command line is in `main.rs`.

pub mod config;
