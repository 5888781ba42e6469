//! A server for a while, and an operator of it.
//!
//! Never knows: what it is for.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::fail::{During, Fail, Result};
use crate::run;

/// Who makes machines known.
const OPERATOR: &str = "olga";
const PASSWORD: &str = "for the length of a bench";
/// Where curl keeps the cookie of a session, in the data folder.
const COOKIES: &str = "cookies";
/// How often it is looked whether the server has said where it is, and how long in between.
const LOOKS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// Where a server is.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// The network namespace; this process's, if none.
    pub(crate) space: Option<&'static str>,
    /// The address at which it listens.
    pub(crate) address: &'static str,
}

/// On this machine.
pub(crate) const HERE: Place = Place { space: None, address: "127.0.0.1" };

impl Place {
    /// A program there.
    fn run(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(space) = self.space else {
            return Command::new(program);
        };
        let mut command = run::program("ip");
        command.args(["netns", "exec", space]).arg(program);
        command
    }
}

/// A server, until it is dropped.
pub(crate) struct Server {
    place: Place,
    program: PathBuf,
    child: Child,
    data: PathBuf,
    url: String,
    setup: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

impl Server {
    /// Starts one, its data in a folder.
    /// # Errors
    /// It does not start.
    pub(crate) fn start(program: &Path, dir: &Path, place: &Place) -> Result<Server> {
        Server::start_as(place.run(program), program, (dir, place))
    }

    /// As [`Server::start`], on this machine, what it logs into a file.
    /// # Errors
    /// It does not start.
    pub(crate) fn start_logging(program: &Path, dir: &Path, log: &Path) -> Result<Server> {
        let mut command = Command::new(program);
        command.stderr(File::create(log).during(log.display())?);
        Server::start_as(command, program, (dir, &HERE))
    }

    fn start_as(mut command: Command, program: &Path, (dir, place): (&Path, &Place)) -> Result<Server> {
        let (data, said) = (dir.join("data"), dir.join("said"));
        let out = File::create(&said).during(said.display())?;
        command.args(["server", "--listen", &format!("{}:0", place.address), "--name", place.address]);
        command.args(["--json", "--data"]).arg(&data);
        let child = command.stdin(Stdio::null()).stdout(out).spawn().during("starting a server")?;
        let program = program.to_path_buf();
        let mut server = Server { place: *place, program, child, data, url: String::new(), setup: String::new() };
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

    /// The id of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Where its store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    /// Where all that is its own is.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// curl, as whoever logged in last.
    pub(crate) fn curl(&self) -> Command {
        let cookies = self.data.join(COOKIES);
        let mut curl = self.place.run("curl");
        curl.args(["--silent", "--show-error", "--cacert"]).arg(self.data.join("ca/certificate.pem"));
        curl.arg("--cookie").arg(&cookies).arg("--cookie-jar").arg(&cookies);
        curl
    }

    /// The first administrator makes an operator.
    /// # Errors
    /// The server refuses.
    pub(crate) fn operator(&self) -> Result<Operator<'_>> {
        self.ask(None, "setup", Some(&json!({ "code": self.setup, "name": "admin", "password": PASSWORD })))?;
        Ok(Operator { server: self, csrf: self.somebody(OPERATOR, "operator")? })
    }

    /// The first administrator adds somebody with a role, who logs in; the word of the session.
    /// # Errors
    /// The server refuses.
    pub(crate) fn somebody(&self, name: &str, role: &str) -> Result<String> {
        let admin = self.login("admin")?;
        let grants = json!([{ "role": role, "scope": "all" }]);
        self.ask(Some(&admin), "people", Some(&json!({ "name": name, "password": PASSWORD, "grants": grants })))?;
        self.login(name)
    }

    /// A token of somebody new with a role.
    /// # Errors
    /// The server refuses.
    pub(crate) fn token(&self, name: &str, role: &str) -> Result<String> {
        let csrf = self.somebody(name, role)?;
        let wanted = json!({ "name": "for a while", "role": role, "scope": "all", "days": 1 });
        let made = self.ask(Some(&csrf), "me/tokens", Some(&wanted))?;
        let token = made["token"].as_str().map(str::to_owned);
        token.ok_or_else(|| Fail::new(format!("{name} gets no token: {made}")))
    }

    /// The cookie of whoever logged in last, as browsers send it.
    /// # Errors
    /// Nobody did.
    pub(crate) fn cookie(&self) -> Result<String> {
        let jar = self.data.join(COOKIES);
        let text = fs::read_to_string(&jar).during(jar.display())?;
        let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let found = lines.find_map(|words| (words.len() == 7).then(|| format!("{}={}", words[5], words[6])));
        found.ok_or_else(|| Fail::new("nobody is logged in"))
    }

    /// Kills it.
    pub(crate) fn end(&mut self) {
        // It is gone, or it goes now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether its process is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Logs in; the word that requests carry which change something.
    /// # Errors
    /// The server refuses.
    pub(crate) fn login(&self, name: &str) -> Result<String> {
        let said = self.ask(None, "login", Some(&json!({ "name": name, "password": PASSWORD })))?;
        let csrf = said["csrf"].as_str().map(str::to_owned);
        csrf.ok_or_else(|| Fail::new(format!("{name} cannot log in: {said}")))
    }

    /// The first administrator sets when a job is due.
    /// # Errors
    /// The server refuses.
    pub(crate) fn set_due(&self, due: &Value) -> Result<()> {
        let admin = self.login("admin")?;
        let mut curl = self.sending(Some(&admin), Some(due));
        run::output(curl.args(["--fail", "--request", "PUT"]).arg(format!("{}/api/v1/calendar", self.url))).map(drop)
    }

    fn ask(&self, csrf: Option<&str>, path: &str, body: Option<&Value>) -> Result<Value> {
        let said = run::text(self.sending(csrf, body).arg(format!("{}/api/v1/{path}", self.url)))?;
        Ok(serde_json::from_str(&said).unwrap_or_default())
    }

    fn sending(&self, csrf: Option<&str>, body: Option<&Value>) -> Command {
        let mut curl = self.curl();
        curl.args(["--header", "content-type: application/json"]);
        if let Some(csrf) = csrf {
            curl.args(["--header", &format!("x-backstay-csrf: {csrf}")]);
        }
        if let Some(body) = body {
            curl.args(["--data", &body.to_string()]);
        }
        curl
    }
}

/// One who enrols machines, and sees them.
pub(crate) struct Operator<'s> {
    server: &'s Server,
    csrf: String,
}

impl Operator<'_> {
    /// Logs in again: sessions end when nothing is asked for long.
    /// # Errors
    /// The server refuses.
    pub(crate) fn again(self) -> Result<Self> {
        let csrf = self.server.login(OPERATOR)?;
        Ok(Operator { csrf, ..self })
    }

    /// Makes a machine known, which keeps what it got in a folder.
    /// # Errors
    /// The server refuses.
    pub(crate) fn enroll(&self, machine: &str, dir: &Path) -> Result<()> {
        let made = self.server.ask(Some(&self.csrf), "enrolments", Some(&json!({ "machine": machine })))?;
        let code = made["code"].as_str();
        let code = code.ok_or_else(|| Fail::new(format!("the server made no code: {made}")))?;
        let mut command = self.server.place.run(&self.server.program);
        run::output(command.args(["enroll", &self.server.url, code, "--dir"]).arg(dir)).map(drop)
    }

    /// What the API answers at a path.
    /// # Errors
    /// It cannot be asked.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.server.ask(None, path, None)
    }
}
