//! A client that trusts the server's authority and nothing else.

use std::path::Path;

use backstay_server::Running;
use reqwest::blocking::{Client as Http, RequestBuilder, Response};
use reqwest::{Certificate, Method};
use serde_json::{Value, json};

/// Long enough for the rules, and the same for everybody.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Somebody at a server.
pub(crate) struct Client {
    http: Http,
    base: String,
    csrf: Option<String>,
    token: Option<String>,
}

impl Client {
    /// Nobody yet.
    pub(crate) fn of(server: &Running) -> Client {
        let authority = Certificate::from_pem(server.server().authority.pem().as_bytes()).unwrap();
        let http = Http::builder().tls_certs_only([authority]).cookie_store(true).build().unwrap();
        Client { http, base: format!("https://localhost:{}", server.address().port()), csrf: None, token: None }
    }

    /// Nobody yet, who calls the server by another of its names.
    pub(crate) fn calling(server: &Running, name: &str) -> Client {
        let authority = Certificate::from_pem(server.server().authority.pem().as_bytes()).unwrap();
        let http = Http::builder().tls_certs_only([authority]).cookie_store(true).resolve(name, server.address());
        let base = format!("https://{name}:{}", server.address().port());
        Client { http: http.build().unwrap(), base, csrf: None, token: None }
    }

    /// Somebody who shows a token.
    pub(crate) fn with_token(server: &Running, token: &str) -> Client {
        Client { token: Some(token.to_owned()), ..Client::of(server) }
    }

    /// A request, not sent yet.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(csrf) = &self.csrf {
            request = request.header("x-backstay-csrf", csrf);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path).send().unwrap())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request(Method::POST, path).json(body).send().unwrap())
    }

    pub(crate) fn delete(&self, path: &str) -> u16 {
        self.request(Method::DELETE, path).send().unwrap().status().as_u16()
    }

    /// Logs in, with the usual password.
    pub(crate) fn login(&mut self, name: &str) -> (u16, Value) {
        self.login_with(&json!({ "name": name, "password": PASSWORD }))
    }

    pub(crate) fn login_with(&mut self, body: &Value) -> (u16, Value) {
        self.login_by("/api/v1/login", body)
    }

    /// Logs in in some way.
    pub(crate) fn login_by(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let (status, value) = self.post(path, body);
        if status == 200 {
            self.csrf = value["csrf"].as_str().map(str::to_owned);
        }
        (status, value)
    }

    /// Goes on without the word of its session.
    pub(crate) fn forget_csrf(&mut self) {
        self.csrf = None;
    }
}

/// Status and JSON; null if it is something else.
pub(crate) fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().unwrap_or(Value::Null))
}

/// A fresh server with its first administrator, `admin`.
pub(crate) fn server(data: &Path) -> Running {
    let server = Running::for_tests(data);
    set_up(&server);
    server
}

/// Makes the first administrator.
pub(crate) fn set_up(server: &Running) {
    let first = json!({ "code": server.setup_code().unwrap(), "name": "admin", "password": PASSWORD });
    assert_eq!(Client::of(server).post("/api/v1/setup", &first).0, 204);
}

/// Somebody logged in.
pub(crate) fn logged_in(server: &Running, name: &str) -> Client {
    let mut client = Client::of(server);
    assert_eq!(client.login(name).0, 200, "{name}");
    client
}

/// Somebody with a role, logged in.
pub(crate) fn somebody(server: &Running, name: &str, role: &str, scope: &str) -> Client {
    let grants = json!([{ "role": role, "scope": scope }]);
    let person = json!({ "name": name, "password": PASSWORD, "grants": grants });
    assert_eq!(logged_in(server, "admin").post("/api/v1/people", &person).0, 201);
    logged_in(server, name)
}
