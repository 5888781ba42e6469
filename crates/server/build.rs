//! Takes the console in, as far as it was built: `web/dist/console` becomes a table of files.
//!
//! Never knows: how it is built (`cargo xtask console`), what is in it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or(io::ErrorKind::NotFound)?);
    // The folder is always there, so a console that is built later is seen.
    let dist = here.join("../../web/dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    let console = dist.join("console");
    let mut files = Vec::new();
    if console.is_dir() {
        collect(&console, &mut files)?;
    }
    files.sort();
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut table = String::from("[\n");
    for (number, file) in files.iter().enumerate() {
        // A copy: the console may be built anew before this server is compiled.
        let copy = out.join(format!("console-{number}"));
        fs::copy(file, &copy)?;
        let name = file.strip_prefix(&console).unwrap_or(file);
        // Writing to a String cannot fail.
        let _ = writeln!(table, "({:?}, include_bytes!({copy:?}) as &[u8]),", format!("/{}", name.display()));
    }
    table.push(']');
    fs::write(out.join("console.rs"), table)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => collect(&entry.path(), files)?,
            false => files.push(entry.path()),
        }
    }
    Ok(())
}
