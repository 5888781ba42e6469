//! Guests: a Debian made from Debian's packages runs in QEMU, and the product in it, through restarts and power cuts, on what
//! the kernel of the tests does not have: LVM, LUKS, md, vfat. `cargo xtask guest` runs it:
//!
//! ```text
//! guests PROGRAM FOLDER [NAME...]      the program to try, where the image is kept, and which scenarios; all if none
//!                                      FOLDER/packages has packages of it, if those are tried
//! ```
//!
//! Never knows: anything of the product but its command line.

use std::process::ExitCode;
use std::time::Instant;

mod fail;
mod guest;
mod image;
mod libvirt;
mod line;
mod programs;
mod qemu;
mod scenario;

use fail::{During, Fail, Result};
use guest::Parts;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match all(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("guests: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn all(words: &[String]) -> Result<()> {
    let [program, folder, names @ ..] = words else { return Err(Fail::new("PROGRAM FOLDER [NAME...]")) };
    let known = |name: &String| scenario::ALL.iter().any(|(known, ..)| known == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let all: Vec<&str> = scenario::ALL.iter().map(|(name, ..)| *name).collect();
        return Err(Fail::new(format!("there is no scenario {unknown}, only {}", all.join(", "))));
    }
    std::fs::create_dir_all(folder).during(folder)?;
    let folder = &std::fs::canonicalize(folder).during(folder)?;
    let program = &std::fs::canonicalize(program).during(program)?;
    let packages = &folder.join("packages");
    let image = image::make(&folder.join("image"))?;
    let mut failed = Vec::new();
    for (name, what, run) in
        scenario::ALL.iter().filter(|(name, ..)| names.is_empty() || names.iter().any(|n| n == name))
    {
        println!("== {name}: {what}");
        let begun = Instant::now();
        let home = tempfile::tempdir_in(folder).during(folder.display())?;
        let parts = Parts { image: &image, backstay: program, packages, folder: home.path() };
        match run(&parts) {
            Ok(found) => println!("{name}: {found}; {:.0} s", begun.elapsed().as_secs_f64()),
            Err(cause) => {
                eprintln!("{name} FAILED after {:.0} s: {cause}", begun.elapsed().as_secs_f64());
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Fail::new(format!("failed: {}", failed.join(", ")))) }
}
