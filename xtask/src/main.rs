//! The only scripts of the project: `cargo xtask COMMAND`.
//!
//! Must never know: anything of the product but its command line, its test targets and the table of allowed arrows.

use std::process::ExitCode;

mod bench;
mod bpf;
mod console;
mod demo;
mod dist;
mod fail;
mod flip;
mod fuzz;
mod guards;
mod guest;
mod run;
mod schemathesis;
mod service;
mod setup;
mod sim;
mod test;
mod tidy;
mod torture;

use fail::{Fail, Result};

fn usage() -> String {
    format!(
        "cargo xtask COMMAND
  setup     installs what Debian must provide, and says what and why
  demo      the main job from end to end, on a real file system and a store in a folder
  test      setup, then every check and every test
  tidy      arrows between rooms, headers, leftovers, licences, links
  bpf       compiles the kernel's programs; what comes out is committed
  sim [--seeds N] [--from S]    the simulator
  {}
  {}
  {}
  {}
  {}
  {}
  {}
  {}",
        dist::USAGE,
        console::USAGE,
        flip::USAGE,
        fuzz::USAGE,
        schemathesis::USAGE,
        torture::USAGE,
        guest::USAGE,
        bench::USAGE
    )
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("xtask: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((command, rest)) = arguments.split_first() else {
        return Err(Fail::new(usage()));
    };
    let alone = rest.is_empty();
    match command.as_str() {
        "setup" if alone => setup::install(setup::Set::Test),
        "demo" if alone => demo::main(),
        "test" if alone => test::main(),
        "tidy" if alone => tidy::main(),
        "bpf" if alone => bpf::main(),
        "bench" => bench::main(rest),
        "dist" => dist::main(rest),
        "console" => console::main(rest),
        "sim" => sim::main(rest),
        "flip" => flip::main(rest),
        "fuzz" => fuzz::main(rest),
        "schemathesis" => schemathesis::main(rest),
        "torture" => torture::main(rest),
        "guest" => guest::main(rest),
        "help" | "--help" | "-h" => {
            println!("{}", usage());
            Ok(())
        }
        _ => Err(Fail::new(format!("`{}` is not understood\n{}", arguments.join(" "), usage()))),
    }
}
