//! What people type: `cargo xtask demo | test | soak | bench | sim | fuzz | gen | image`.
//!
//! Each command installs what it needs, says what it does, and works offline the second time.

mod bench;
mod cargo;
mod demo;
mod fuzz;
mod gen_files;
mod image;
mod lane;
mod sim;
mod stage;
mod test;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Lowtide's development commands
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the main job: a real Flink, three applications, savepoints on schedule
    Demo {
        /// Take one savepoint of each application, print them, and end
        #[arg(long)]
        once: bool,
        /// On an emulated Ververica Platform, from the Helm chart in a real Kubernetes
        #[arg(long)]
        ververica: bool,
    },
    /// Run every test, as CI does
    Test {
        /// Leave out the tests that need this; each says so
        #[arg(long)]
        without: Option<test::Without>,
    },
    /// Run the same tests in larger counts
    Soak,
    /// Measure Lowtide beside its competitors
    Bench(bench::Order),
    /// Send the requests of `lowtide run` and nothing else; `bench oneshot` starts it
    #[command(hide = true)]
    Load(bench::load::Order),
    /// Read one `_metadata` for each line of input; `bench metadata` starts it
    #[command(hide = true)]
    ReadMetadata(bench::metadata::Order),
    /// Walk many seeds of the simulator
    Sim {
        /// How many seeds
        #[arg(long, default_value_t = 300)]
        seeds: u64,
        /// The first seed
        #[arg(long, default_value_t = 1)]
        first: u64,
        /// Print the story of this one seed instead
        #[arg(long)]
        replay: Option<u64>,
    },
    /// Run each fuzz target for a while
    Fuzz {
        /// How many seconds each
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// Write the generated files: JSON Schema, man pages, completions
    Gen,
    /// Build the container image as an archive, without Docker
    Image(image::Order),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo { once, ververica } => demo::run(once, ververica),
        Command::Test { without } => Ok(test::run(without)),
        Command::Bench(order) => bench::run(&order),
        Command::Load(order) => bench::load::run(&order),
        Command::ReadMetadata(order) => bench::metadata::read_turns(&order),
        Command::Soak => Ok(test::soak()),
        Command::Sim {
            seeds,
            first,
            replay,
        } => sim::run(first, seeds, replay),
        Command::Fuzz { seconds } => fuzz::run(Duration::from_secs(seconds))
            .map(|counts| counts.failed == 0 && counts.passed > 0),
        Command::Gen => gen_files::run(),
        Command::Image(order) => image::run(&order),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            stage::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
