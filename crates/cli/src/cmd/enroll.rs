//! `backstay enroll`: makes this machine known to a server.
//!
//! The code that an operator was shown has a secret, and a part of the hash of the certificate of the server's authority. So the very
//! first contact is with the right server or with none, and the private key never leaves this machine.
//!
//! Never knows: how the machine is captured.

use std::path::Path;
use std::time::Duration;

use backstay_agent::Enrolled;
use backstay_env::real::link::{Identity, known_by};
use data_encoding::BASE32_NOPAD;
use rcgen::{CertificateParams, KeyPair};
use reqwest::Url;
use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::args::{Common, Enroll};
use crate::enrolment::Enrolment;
use crate::failure::{Failure, sentence};
use crate::output::{self, say};
use crate::remote::url_of;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a code: its secret, and of the hash.
const SECRET: usize = 10;
const CODE: usize = SECRET + 16;

pub(super) fn run(common: &Common, args: &Enroll) -> Result<(), Failure> {
    let url = url_of(&args.url)?;
    let beginning = beginning_of(&args.code)?;
    let key = KeyPair::generate().map_err(|e| Failure::new(format!("no key could be made: {e}")))?;
    let request = CertificateParams::default().serialize_request(&key).and_then(|request| request.pem());
    let request = request.map_err(|e| Failure::new(format!("no certificate could be asked for: {e}")))?;
    let answer = ask(&url, beginning, &json!({ "code": args.code, "csr_pem": request }))?;
    let text = |what: &str| {
        let text = answer[what].as_str().map(str::to_owned);
        text.ok_or_else(|| Failure::new(format!("{url} answered without {what}: is it a Backstay server?")))
    };
    let address = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or_default());
    let identity = Identity { certificate: text("certificate_pem")?, key: key.serialize_pem() };
    let enrolled = Enrolled { address: address.clone(), authority: text("ca_pem")?, identity };
    let enrolment = Enrolment { machine: text("machine")?, address, enrolled };
    enrolment.write(&args.dir)?;
    told(common, &enrolment, &args.dir)
}

fn told(common: &Common, enrolment: &Enrolment, dir: &Path) -> Result<(), Failure> {
    let Enrolment { machine, address, .. } = enrolment;
    if common.json {
        return output::json(&json!({ "machine": machine, "server": address, "dir": dir }));
    }
    say!("this machine is {machine} at {address} from now on; `backstay agent` protects it")
}

/// What the hash of the certificate of the server's authority begins with.
fn beginning_of(code: &str) -> Result<[u8; 16], Failure> {
    let plain: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    let bytes = BASE32_NOPAD.decode(plain.to_ascii_uppercase().as_bytes()).ok().filter(|bytes| bytes.len() == CODE);
    let bytes = bytes.and_then(|bytes| bytes[SECRET..].try_into().ok());
    bytes.ok_or_else(|| Failure::usage("this is not a whole code: it has 42 letters and digits; dashes do not matter"))
}

fn ask(url: &Url, beginning: [u8; 16], what: &Value) -> Result<Value, Failure> {
    let failed = |error: &dyn std::error::Error| {
        Failure::new(format!("{url} cannot be asked, or is not the server that the code is of: {}", sentence(error)))
    };
    let client = Client::builder().tls_backend_preconfigured(known_by(beginning)).timeout(PATIENCE).https_only(true);
    let client = client.no_proxy().build().map_err(|e| failed(&e))?;
    let place = url.join("/api/v1/enrol").map_err(|e| failed(&e))?;
    let answer = client.post(place).json(what).send().map_err(|e| failed(&e))?;
    let status = answer.status();
    let body: Value = answer.json().map_err(|e| failed(&e))?;
    if status.is_success() {
        return Ok(body);
    }
    let said = |what: &str| body["error"][what].as_str().unwrap_or_default().to_owned();
    let (message, hint) = (said("message"), said("hint"));
    let whole = if hint.is_empty() { message } else { format!("{message}; {hint}") };
    match status.as_u16() {
        401 | 403 => Err(Failure::refused(whole)),
        _ => Err(Failure::new(if whole.is_empty() { format!("{url} answered {status}") } else { whole })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_as_people_type_them() {
        let code = BASE32_NOPAD.encode(&[[1u8; SECRET].as_slice(), &[9; 16]].concat());
        let grouped = code.as_bytes().chunks(6).map(|c| String::from_utf8_lossy(c).to_lowercase()).collect::<Vec<_>>();
        assert_eq!(beginning_of(&grouped.join("-")).unwrap(), [9; 16]);
        assert!(beginning_of(&code[1..]).is_err() && beginning_of("").is_err() && beginning_of("1189").is_err());
    }
}
