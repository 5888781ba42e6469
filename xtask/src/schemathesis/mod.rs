//! `cargo xtask schemathesis`: a program that nobody here wrote asks a real server all that `openapi/v1.json` says can be asked of it,
//! and much that cannot: as somebody of every role, and as nobody.
//!
//! Whatever it asks, the server answers as the document says, lets nobody do what is not theirs, goes on serving, and its store is whole
//! afterwards. Server and asker are in a network of their own: settings may name any host.
//!
//! Never knows: what the requests are.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::fail::{During, Fail, Result, absent};
use crate::run;
use crate::service::Server;

mod tool;

/// What may follow `cargo xtask schemathesis`.
pub(crate) const USAGE: &str = "schemathesis [--quick] [--examples N] [--seed S] [WHO]...    N of each request, 50 if not given; as all who there are if none";

/// The word by which it starts itself in the network of its own.
const INSIDE: &str = "inside";
/// Requests of each kind in the short run that is part of every test.
const FEW: &str = "4";
/// Any seed does; the same one asks the same.
const SEED: u64 = 20_261_123;

/// Who asks: a name, and the role of a token. One comes with a session, as browsers do.
const ALL: [(&str, Option<&str>); 6] = [
    ("nobody", None),
    ("auditor", Some("auditor")),
    ("operator", Some("operator")),
    ("restore-operator", Some("restore-operator")),
    ("administrator", Some("administrator")),
    (BROWSER, None),
];
const BROWSER: &str = "browser";

/// How much is asked, by whom.
struct Wanted {
    examples: u64,
    seed: u64,
    /// Only what is made up; else every edge of every parameter, too, and requests that follow from answers.
    quick: bool,
    who: Vec<String>,
}

/// Asks, and judges.
/// # Errors
/// Names who was answered wrongly; what was asked and answered is printed.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((word, rest)) if word == INSIDE => ask(&wanted(rest)?),
        _ => outside(arguments, &wanted(arguments)?),
    }
}

/// The short run.
/// # Errors
/// As [`main`].
pub(crate) fn short() -> Result<()> {
    main(&["--quick", "--examples", FEW].map(str::to_owned))
}

fn wanted(arguments: &[String]) -> Result<Wanted> {
    let wrong = || Fail::new(format!("cargo xtask {USAGE}"));
    let mut wanted = Wanted { examples: 50, seed: SEED, quick: false, who: Vec::new() };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|n| n.parse().ok()).ok_or_else(wrong);
        match word.as_str() {
            "--examples" => wanted.examples = number()?,
            "--seed" => wanted.seed = number()?,
            "--quick" => wanted.quick = true,
            who if ALL.iter().any(|(known, _)| *known == who) => wanted.who.push(who.to_owned()),
            _ => return Err(wrong()),
        }
    }
    Ok(wanted)
}

/// Builds, installs, and starts itself again where there is no network but loopback.
fn outside(arguments: &[String], wanted: &Wanted) -> Result<()> {
    run::built()?;
    tool::ready()?;
    println!("schemathesis: {} requests of each kind at least, seed {}", wanted.examples, wanted.seed);
    let this = std::env::current_exe().during("this program")?;
    let mut alone = Command::new("unshare");
    if !run::is_root()? {
        alone.arg("--map-root-user");
    }
    alone.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]).arg(this);
    run::run(alone.args(["schemathesis", INSIDE]).args(arguments))
}

fn ask(wanted: &Wanted) -> Result<()> {
    let mut failed = Vec::new();
    for (who, role) in ALL.iter().filter(|(who, _)| wanted.who.is_empty() || wanted.who.iter().any(|w| w == who)) {
        println!("== {who}");
        if let Err(cause) = World::new().and_then(|mut world| world.ask_as(who, *role, wanted)) {
            eprintln!("{cause}");
            failed.push(*who);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Fail::new(format!("answered wrongly: {}", failed.join(", ")))) }
}

/// A server with a machine that has two points of a disk with files.
struct World {
    dir: tempfile::TempDir,
    program: PathBuf,
    log: PathBuf,
    server: Server,
}

impl World {
    fn new() -> Result<World> {
        let dir = tempfile::tempdir().during("a folder for a server")?;
        let (program, log) = (run::cargo_target().join("debug/backstay"), dir.path().join("log"));
        let server = Server::start_logging(&program, dir.path(), &log)?;
        let world = World { program, log, server, dir };
        world.server.operator()?.enroll("web", &world.path("agent"))?;
        let (tree, image) = (world.path("tree"), world.path("disk.img"));
        for point in ["first", "second"] {
            fs::create_dir_all(tree.join("etc")).during(tree.display())?;
            fs::write(tree.join("etc").join(point), point.repeat(5000)).during(tree.display())?;
            fs::remove_file(&image).or_else(absent).during(image.display())?;
            let words: [&OsStr; 6] =
                ["-q".as_ref(), "-t".as_ref(), "ext4".as_ref(), "-d".as_ref(), tree.as_ref(), image.as_ref()];
            run::output(run::program("mke2fs").args(words).arg("8M"))?;
            let mut agent = Command::new(&world.program);
            run::output(agent.arg("agent").arg(&image).arg("--dir").arg(world.path("agent")).arg("--once"))?;
        }
        Ok(world)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What says to the server who asks.
    fn headers(&self, who: &str, role: Option<&str>) -> Result<Vec<String>> {
        match role {
            Some(role) => Ok(vec![format!("Authorization: Bearer {}", self.server.token("asker", role)?)]),
            None if who == BROWSER => {
                let csrf = self.server.somebody("asker", "administrator")?;
                Ok(vec![format!("Cookie: {}", self.server.cookie()?), format!("x-backstay-csrf: {csrf}")])
            }
            None => Ok(Vec::new()),
        }
    }

    /// The document, which says that there is one way only to be known: who uses that is nobody without it, and what else is made up beside
    /// it counts for nothing.
    fn document(&self, way: &str) -> Result<PathBuf> {
        let (path, here) = (run::root().join("openapi/v1.json"), self.path("document.json"));
        let text = fs::read_to_string(&path).during(path.display())?;
        let mut document: Value = serde_json::from_str(&text).during(path.display())?;
        let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
        for operation in paths.filter_map(Value::as_object_mut).flat_map(|item| item.values_mut()) {
            if let Some(ways) = operation.get_mut("security").and_then(Value::as_array_mut) {
                ways.retain(|one| one.get(way).is_some());
            }
        }
        fs::write(&here, document.to_string()).during(here.display())?;
        Ok(here)
    }

    fn ask_as(&mut self, who: &str, role: Option<&str>, wanted: &Wanted) -> Result<()> {
        let way = if who == BROWSER { "session" } else { "token" };
        let mut command = Command::new(tool::ready()?);
        // Its files go where it is started.
        command.current_dir(self.dir.path()).arg("--config-file").arg(config()).arg("run");
        command.arg(self.document(way)?).args(["--url", self.server.url(), "--tls-verify"]);
        command.arg(self.server.data().join("ca/certificate.pem"));
        command.args(["--max-examples", &wanted.examples.to_string(), "--seed", &wanted.seed.to_string()]);
        if wanted.quick {
            command.args(["--phases", "fuzzing"]);
        }
        for header in self.headers(who, role)? {
            command.args(["--header", &header]);
        }
        let asked = run::run(&mut command);
        self.judge()?;
        asked
    }

    /// It goes on serving, has not panicked, and its store is whole.
    fn judge(&mut self) -> Result<()> {
        let mut health = self.server.curl();
        let health = run::text(health.arg("--fail").arg(format!("{}/api/v1/health", self.server.url())));
        let log = fs::read_to_string(&self.log).during(self.log.display())?;
        let bad: Vec<&str> = log.lines().filter(|line| line.contains("panicked") || line.contains("ERROR")).collect();
        if !self.server.is_running() || health.is_err() || !bad.is_empty() {
            return Err(Fail::new(format!("the server is not well: {health:?}\n{}", bad.join("\n"))));
        }
        self.server.end();
        let mut check = Command::new(&self.program);
        check.args(["check", "--read-data", "--store"]).arg(self.server.store());
        run::output(check.arg("--passphrase-file").arg(self.server.data().join("keys/store"))).map(drop)
    }
}

fn config() -> PathBuf {
    run::root().join("xtask/src/schemathesis/schemathesis.toml")
}
