//! `cargo xtask torture`: live disks are captured under load while `protect` is killed, stopped and starved, and every point
//! is judged by programs that nobody here wrote.
//!
//! Must never know: anything of the product but its command line, and what its users may see.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

mod args;
mod chance;
mod disturb;
mod fail;
mod judge;
mod load;
mod product;
mod report;
mod round;
mod tools;
mod world;

use args::Args;
use fail::{During, Result};
use report::Report;
use round::Round;
use tools::{STOPPED, Stop};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match args::parse(&arguments).and_then(|args| torture(&args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(cause) => {
            eprintln!("torture: {cause}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing failed.
fn torture(args: &Args) -> Result<bool> {
    let stop = Stop::listen()?;
    let program = std::fs::canonicalize(&args.program).during(args.program.display())?;
    // Sockets lie in it, so its name is short.
    let folder: PathBuf = args.folder.join(format!("torture{}", std::process::id()));
    let mut report = Report::new(&args.evidence.join(format!("torture-{}", std::process::id())));
    let (begun, mut number) = (Instant::now(), 0);
    let due = |number: u64| match args.rounds {
        Some(rounds) => number < rounds,
        None => number == 0 || begun.elapsed() < args.time,
    };
    while !stop.asked() && due(number) {
        let name = args.only[number as usize % args.only.len()];
        let seed = args.seed + number;
        Round { program: &program, folder: &folder, name, seed, load: args.load, stop: &stop }.run(&mut report);
        number += 1;
    }
    println!("{}", report.text());
    if stop.asked() {
        println!("{STOPPED}");
    }
    Ok(report.is_clean() && stop.check().is_ok())
}
