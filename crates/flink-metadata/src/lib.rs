//! Reads the _metadata file of Apache Flink savepoints and checkpoints.
