//! A server that the command line works through: what is asked of it, and what its refusals mean to people.
//!
//! Never knows: what answers are for.

mod disk;
mod known;
mod read;
mod unpack;

use std::io::Read as _;
use std::time::Duration;

use backstay_env::real::link::known_by;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

pub(crate) use self::disk::RemoteDisk;
pub(crate) use self::known::{Authority, Keeper, Kept, KeptToken, url_of};
pub(crate) use self::read::{Glance, gaps, machines, number, point, suspension, text, time};
pub(crate) use self::unpack::unpack;
use crate::args::Common;
use crate::failure::{Failure, sentence};

/// How long a server may take to be reached, and to answer what is no download.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(150);
/// Bytes of an answer that is no download, at most.
const LARGEST: u64 = 256 << 20;

/// What a request needs; it tells which of one's tokens to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To see machines, points and jobs.
    See,
    /// To run jobs, suspend and enrol.
    Run,
    /// To read backed-up data.
    Read,
    /// To read the log of who did what.
    Audit,
}

impl Need {
    /// Whether a role has it.
    fn is_of(self, role: &str) -> bool {
        match self {
            Need::See => role != "auditor",
            Need::Run => role == "operator",
            Need::Read => role == "restore-operator",
            Need::Audit => role == "auditor",
        }
    }
}

/// A token, and the role that it has; none: nobody knows.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) role: Option<String>,
    pub(crate) secret: String,
}

/// A server.
#[derive(Clone)]
pub(crate) struct Remote {
    url: Url,
    http: Client,
    tokens: Vec<Token>,
}

impl Remote {
    /// The server that the command line names; `None`: it names none.
    pub(crate) fn of(common: &Common) -> Result<Option<Remote>, Failure> {
        let named = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        if !named(&common.server) {
            return Ok(None);
        }
        if named(&common.store) {
            let both = "BACKSTAY_STORE and BACKSTAY_SERVER are both set; say which is meant with --store or --server";
            return Err(Failure::usage(both));
        }
        let url = url_of(common.server.as_deref().unwrap_or_default())?;
        let (authority, tokens) = known::resolve(common, &url)?;
        Ok(Some(Remote::new(url, &authority, tokens)?))
    }

    /// As [`Remote::of`], for what only a server does.
    pub(crate) fn needed(common: &Common) -> Result<Remote, Failure> {
        let missing = "this is done by a server; name it with --server or in the environment variable BACKSTAY_SERVER";
        Remote::of(common)?.ok_or_else(|| Failure::usage(missing))
    }

    /// A server by its address and its authority.
    pub(crate) fn new(url: Url, authority: &Authority, tokens: Vec<Token>) -> Result<Remote, Failure> {
        let client = Client::builder().tls_backend_preconfigured(known_by(authority.beginning())).no_proxy();
        let client = client.https_only(true).connect_timeout(CONNECT).timeout(None).cookie_store(true);
        let http = client.build().map_err(|e| Failure::new(format!("{url} cannot be asked: {}", sentence(&e))))?;
        Ok(Remote { url, http, tokens })
    }

    /// Its address.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Where something is at the server.
    fn place(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut place = self.url.clone();
        place.set_path("/api/v1");
        if let Ok(mut segments) = place.path_segments_mut() {
            segments.extend(path);
        }
        if !query.is_empty() {
            place.query_pairs_mut().extend_pairs(query);
        }
        place
    }

    /// A request, not sent yet.
    pub(crate) fn request(
        &self,
        need: Need,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
    ) -> RequestBuilder {
        let request = self.http.request(method, self.place(path, query));
        let fits = |token: &&Token| token.role.as_deref().is_none_or(|role| need.is_of(role));
        // Who has none that fits is refused by the server, in its words.
        match self.tokens.iter().find(fits).or(self.tokens.first()) {
            Some(token) => request.bearer_auth(&token.secret),
            None => request,
        }
    }

    /// Asks for something.
    pub(crate) fn get(&self, need: Need, path: &[&str], query: &[(&str, String)]) -> Result<Value, Failure> {
        self.answer(self.request(need, Method::GET, path, query).timeout(ANSWER))
    }

    /// Has something done.
    pub(crate) fn post(&self, need: Need, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.answer(self.request(need, Method::POST, path, &[]).timeout(ANSWER).json(body))
    }

    /// Takes something away.
    pub(crate) fn delete(&self, need: Need, path: &[&str]) -> Result<(), Failure> {
        self.answer(self.request(need, Method::DELETE, path, &[]).timeout(ANSWER)).map(drop)
    }

    /// The answer to a request, as JSON; null if there is nothing in it.
    pub(crate) fn answer(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let answer = self.send(request)?;
        let mut body = Vec::new();
        answer.take(LARGEST).read_to_end(&mut body).map_err(|e| self.lost(&e))?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|_| {
            Failure::new(format!("{} answered something that is no JSON: is it a Backstay server?", self.url))
        })
    }

    /// An answer that did not refuse.
    pub(crate) fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let answer = request.send().map_err(|error| {
            let what = "cannot be reached, or is not the server that is known by that address";
            Failure::new(format!("{} {what}: {}", self.url, sentence(&error)))
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self.refusal(answer))
    }

    /// The connection ended in the middle of an answer.
    fn lost(&self, error: &dyn std::error::Error) -> Failure {
        Failure::new(format!("{} ended its answer before the end: {}", self.url, sentence(error)))
    }

    fn refusal(&self, answer: Response) -> Failure {
        let status = answer.status();
        let body: Value = answer.json().unwrap_or_default();
        let said = |what: &str| body["error"][what].as_str().unwrap_or_default().to_owned();
        let (code, message, hint) = (said("code"), said("message"), said("hint"));
        let whole = match (message.is_empty(), hint.is_empty()) {
            (true, _) => format!("{} answered {status}", self.url),
            (false, true) => message,
            (false, false) => format!("{message}; {hint}"),
        };
        match status {
            _ if code == "needs_totp" => Failure::refused(whole),
            StatusCode::UNAUTHORIZED if !self.tokens.is_empty() => {
                let url = &self.url;
                Failure::refused(format!("{url} does not take the token any more; `backstay login {url}` gets another"))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::refused(whole),
            StatusCode::BAD_REQUEST => Failure::usage(whole),
            _ if code == "damaged" => Failure::damaged(whole),
            _ => Failure::new(whole),
        }
    }
}
