//! What the way to a server costs: the first protect of the disk image by an agent, over TLS on loopback, and the same protect into a
//! store on this machine, in turn.
//!
//! Never knows: what goes over the wire.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::data::Data;
use super::measure::{Sample, settle, stored, timed};
use super::table::median;
use super::targets::{Figure, Limit};
use crate::fail::{During, Fail, Result};
use crate::run;

const PASSWORD: &str = "for the length of a bench";
/// How often it is looked whether the server has said where it is, and how long in between.
const LOOKS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// A program's run, and what it left in the store.
type Taken = (Sample, u64);

/// Takes turns.
/// # Errors
/// The program does not build, or fails.
pub(super) fn measure(data: &Data, rounds: usize) -> Result<(String, Vec<Figure>)> {
    run::run(run::cargo().args(["build", "--release", "--package", "backstay-cli"]))?;
    let program = run::cargo_target().join("release/backstay");
    let (mut here, mut there): (Vec<Taken>, Vec<Taken>) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for turn in 0..2 {
            let dir = run::keep("bench").join("server");
            fs::remove_dir_all(&dir).or_else(absent).during(dir.display())?;
            fs::create_dir_all(&dir).during(dir.display())?;
            settle(&data.before)?;
            let (name, taken) = match (round + turn) % 2 {
                0 => ("into a store here", local(&program, &dir, &data.before).inspect(|t| here.push(*t))?),
                _ => ("to a server", remote(&program, &dir, &data.before).inspect(|t| there.push(*t))?),
            };
            println!("round {}: {name}: {:.2} s, {} MiB", round + 1, taken.0.wall.as_secs_f64(), taken.1 >> 20);
            fs::remove_dir_all(&dir).during(dir.display())?;
        }
    }
    let walls = |all: &[Taken]| median(all.iter().map(|(sample, _)| sample.wall)).unwrap_or_default().as_secs_f64();
    let sizes = |all: &[Taken]| median(all.iter().map(|(_, stored)| *stored)).unwrap_or_default() >> 20;
    let peak = there.iter().map(|(sample, _)| sample.peak).max().unwrap_or_default() >> 20;
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "- stored: here {} MiB, at the server {} MiB", sizes(&here), sizes(&there));
    let _ = writeln!(text, "- the agent's memory: {peak} MiB at most");
    let figure = Figure {
        figure: "first protect to a server on loopback".into(),
        found: format!("{:.2} s, into a store here {:.2} s", walls(&there), walls(&here)),
        value: walls(&there) / walls(&here),
        unit: "of the time into a store here",
        limit: Limit::AtMost(1.2),
    };
    Ok((text, vec![figure]))
}

fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn local(program: &Path, dir: &Path, image: &Path) -> Result<Taken> {
    let (store, passphrase) = (dir.join("store"), dir.join("passphrase"));
    fs::write(&passphrase, PASSWORD).during(passphrase.display())?;
    let command = |words: &[&str]| {
        let mut command = Command::new(program);
        command.args(words).arg("--passphrase-file").arg(&passphrase).env("BACKSTAY_STORE", &store);
        command
    };
    run::output(command(&["init"]).arg(&store))?;
    let sample = timed(command(&["protect", "--once", "--machine", "bench"]).arg(image))?;
    Ok((sample, stored(&store)?))
}

fn remote(program: &Path, dir: &Path, image: &Path) -> Result<Taken> {
    let server = Server::start(program, dir)?;
    let agent = dir.join("agent");
    let code = server.code()?;
    run::output(Command::new(program).args(["enroll", &server.url, &code, "--dir"]).arg(&agent))?;
    let mut command = Command::new(program);
    command.arg("agent").arg(image).arg("--dir").arg(&agent).arg("--once");
    let sample = timed(&command)?;
    let store = server.data.join("store");
    drop(server);
    Ok((sample, stored(&store)?))
}

/// A server, until it is dropped.
struct Server {
    child: Child,
    data: PathBuf,
    url: String,
    setup: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone, or it goes now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(program: &Path, dir: &Path) -> Result<Server> {
        let (data, said) = (dir.join("data"), dir.join("said"));
        let out = File::create(&said).during(said.display())?;
        let mut command = Command::new(program);
        command.args(["server", "--listen", "127.0.0.1:0", "--name", "localhost", "--json", "--data"]).arg(&data);
        let child = command.stdin(Stdio::null()).stdout(out).spawn().during("starting a server")?;
        let mut server = Server { child, data, url: String::new(), setup: String::new() };
        for _ in 0..LOOKS {
            let text = fs::read_to_string(&said).during(said.display())?;
            if let Ok(told) = serde_json::from_str::<Value>(&text) {
                let word = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
                (server.url, server.setup) = (word("url"), word("setup_code"));
                return Ok(server);
            }
            std::thread::sleep(PAUSE);
        }
        Err(Fail::new("the server does not say where it is"))
    }

    /// A code for a machine, by an operator whom the first administrator made.
    fn code(&self) -> Result<String> {
        self.ask(None, "setup", &json!({ "code": self.setup, "name": "admin", "password": PASSWORD }))?;
        let admin = self.login("admin")?;
        let grants = json!([{ "role": "operator", "scope": "all" }]);
        self.ask(Some(&admin), "people", &json!({ "name": "olga", "password": PASSWORD, "grants": grants }))?;
        let made = self.ask(Some(&self.login("olga")?), "enrolments", &json!({ "machine": "bench" }))?;
        let code = made["code"].as_str().map(str::to_owned);
        code.ok_or_else(|| Fail::new(format!("the server made no code: {made}")))
    }

    fn login(&self, name: &str) -> Result<String> {
        let said = self.ask(None, "login", &json!({ "name": name, "password": PASSWORD }))?;
        let csrf = said["csrf"].as_str().map(str::to_owned);
        csrf.ok_or_else(|| Fail::new(format!("{name} cannot log in: {said}")))
    }

    fn ask(&self, csrf: Option<&str>, path: &str, body: &Value) -> Result<Value> {
        let cookies = self.data.join("bench-cookies");
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--header", "content-type: application/json", "--cacert"]);
        curl.arg(self.data.join("ca/certificate.pem")).arg("--cookie").arg(&cookies).arg("--cookie-jar").arg(&cookies);
        if let Some(csrf) = csrf {
            curl.args(["--header", &format!("x-backstay-csrf: {csrf}")]);
        }
        let said = run::text(curl.args(["--data", &body.to_string(), &format!("{}/api/v1/{path}", self.url)]))?;
        Ok(serde_json::from_str(&said).unwrap_or_default())
    }
}
