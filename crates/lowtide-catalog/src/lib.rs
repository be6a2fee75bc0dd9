//! The memory of Lowtide: runs and savepoints in SQLite.
