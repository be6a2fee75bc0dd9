//! Holds a node for somebody to look at: `cargo run --package testbench --bin node [-- IMAGE.tar…]`.
//!
//! Prints the path of the administrator's kubeconfig and ends, with all that it started, when its standard
//! input does.

use std::io::{Read as _, Write as _};

use anyhow::Result;
use testbench::kubernetes::{Node, Options};

fn main() -> Result<()> {
    let node = Node::start(&Options {
        containers: true,
        images: std::env::args_os().skip(1).map(Into::into).collect(),
        ..Options::default()
    })?;
    writeln!(std::io::stdout(), "{}", node.kubeconfig().display())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
