#!/bin/sh
# Cargo calls this instead of the compiler for the crates of the workspace (RUSTC_WORKSPACE_WRAPPER).
exec "$@" --cfg lowtide_planted_bugs
