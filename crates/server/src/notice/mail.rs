//! Mail: plain text, to a mail server that takes it on.
//!
//! Never knows: when mail is due.

use std::time::Duration;

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::channel::Letter;
use super::{Why, plain, sentence, words};
use crate::settings::{Email, Security};

/// For each word with the mail server, and for all of them.
const PATIENCE: Duration = Duration::from_secs(15);
const ALL: Duration = Duration::from_secs(45);

/// Says that no person wrote it, so that no program answers (RFC 3834).
#[derive(Clone)]
struct Automatic;

impl Header for Automatic {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Automatic)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

/// Sends a letter. On `Ok` the mail server has taken it for all who get it.
///
/// # Errors
/// Why not, without the password.
pub(super) async fn send(email: &Email, password: Option<&str>, server: &str, letter: &Letter) -> Result<(), Why> {
    let message = message(email, server, letter)?;
    let transport = transport(email, password, server)?;
    match tokio::time::timeout(ALL, transport.send(message)).await {
        Ok(sent) => sent.map(|_| ()).map_err(|error| sentence(&error)),
        Err(_) => Err(format!("the mail server {} took too long", email.host)),
    }
}

fn message(email: &Email, server: &str, letter: &Letter) -> Result<Message, Why> {
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|_| format!("{text:?} is no address of mail"));
    let mut message = Message::builder().from(mailbox(&email.from)?);
    for to in &email.to {
        message = message.to(mailbox(to)?);
    }
    let name: String = server.chars().filter(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).collect();
    let id = |alert: i64, word: &str| format!("<alert-{alert}-{word}@{name}>");
    if let [one] = &letter.notices[..] {
        // Sent twice it is the same mail, and the end of an alert stands below its beginning.
        let (began, ended) = (id(one.alert.id, "began"), id(one.alert.id, "ended"));
        message = match one.began {
            true => message.message_id(Some(began)),
            false => message.message_id(Some(ended)).in_reply_to(began.clone()).references(began),
        };
    } else {
        message = message.message_id(None);
    }
    let message = message.subject(words::subject(server, letter)).header(Automatic).header(ContentType::TEXT_PLAIN);
    message.body(words::text(server, letter)).map_err(|error| sentence(&error))
}

fn transport(email: &Email, password: Option<&str>, server: &str) -> Result<AsyncSmtpTransport<Tokio1Executor>, Why> {
    let tls = || {
        let mut tls = TlsParameters::builder(email.host.clone());
        for der in CertificateDer::pem_slice_iter(email.ca_pem.as_deref().unwrap_or_default().as_bytes()).flatten() {
            tls = tls.add_root_certificate(Certificate::from_der(der.to_vec()).map_err(|error| sentence(&error))?);
        }
        tls.build_rustls().map_err(|error| sentence(&error))
    };
    let tls = match email.security {
        Security::Tls => Tls::Wrapper(tls()?),
        Security::Starttls => Tls::Required(tls()?),
        Security::Plain => Tls::None,
    };
    let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&email.host).port(email.port).tls(tls);
    let transport = transport.timeout(Some(PATIENCE)).hello_name(ClientId::Domain(plain(server, 200)));
    let transport = match (&email.user, password) {
        (Some(user), Some(password)) => transport.credentials(Credentials::new(user.clone(), password.to_owned())),
        _ => transport,
    };
    Ok(transport.build())
}
