//! The `foveate` command: reads the command line, runs one subcommand, says how it ended.
//!
//! Exit codes: 0 done, 1 the work failed, 2 the user's input is at fault. Results go to standard output
//! or to files, progress and errors to standard error.

mod conversation;
mod corrupt;
mod eval;
mod failure;
mod generate;
mod grade;
mod hub;
mod interrupt;
mod memory;
mod merge;
mod model;
mod output;
mod plan;
mod prep;
mod progress;
mod ranks;
mod report;
mod score;
mod shown;
mod train;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use failure::{Failure, Outcome};
use miette::GraphicalReportHandler;

/// Trains Qwen-VL models by reinforcement learning to look before they answer.
#[derive(Debug, Parser)]
#[command(name = "foveate", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// One subcommand, one file.
#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Args),
    Score(score::Args),
    Generate(generate::Args),
    Merge(merge::Args),
    Corrupt(corrupt::Args),
    Plan(plan::Args),
    Prep(Box<prep::Args>),
    Grade(grade::Args),
    Eval(Box<eval::Args>),
    Report(report::Args),
}

fn run(command: Command) -> Outcome<()> {
    match command {
        Command::Train(args) => train::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Merge(args) => merge::run(&args),
        Command::Corrupt(args) => corrupt::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Prep(args) => prep::run(&args),
        Command::Grade(args) => grade::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Report(args) => report::run(&args),
    }
}

fn main() -> ExitCode {
    memory::keep_freed_pages();
    let command = Cli::parse().command;
    // On a thread of the pool: handing out work then needs no wake-up of the caller.
    match rayon::scope(|_| run(command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Lines are not wrapped: a path cut in two can be neither copied nor searched for.
fn complain(failure: &Failure) {
    let mut text = String::new();
    if GraphicalReportHandler::new().with_wrap_lines(false).render_report(&mut text, failure).is_ok() {
        eprintln!("{text}");
    }
}
