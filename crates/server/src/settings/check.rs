//! Settings that make no sense are refused, each with one sentence. Pure.
//!
//! Never knows: whether what they name can be reached.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lettre::message::Mailbox;
use reqwest::Url;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject, SectionKind};

use super::secrets::Secrets;
use super::{Email, Oidc, Security, Typed, Webhook};
use crate::api::checked_grants;
use crate::notice::address::refused;

/// Webhooks, addresses of mail, groups.
const MOST_WEBHOOKS: usize = 10;
const MOST_ADDRESSES: usize = 20;
const MOST_GROUPS: usize = 100;
/// The longest promise, in seconds: a year.
const LONGEST: u64 = 366 * 86_400;
/// The shortest secret of a webhook, in bytes.
const SECRET: usize = 16;

/// Why these cannot be the settings.
pub(crate) fn check(typed: &Typed, secrets: &Secrets) -> Result<(), String> {
    if typed.promise_seconds.is_some_and(|seconds| !(1..=LONGEST).contains(&seconds)) {
        return Err("a promise is between one second and 366 days".into());
    }
    if let Some(mail) = &typed.alerts.email {
        email(mail, secrets)?;
    }
    if typed.alerts.webhooks.len() > MOST_WEBHOOKS {
        return Err(format!("there are at most {MOST_WEBHOOKS} webhooks"));
    }
    let urls: BTreeSet<&str> = typed.alerts.webhooks.iter().map(|webhook| &*webhook.url).collect();
    if urls.len() < typed.alerts.webhooks.len() {
        return Err("a webhook is there twice".into());
    }
    typed.alerts.webhooks.iter().try_for_each(|one| webhook(one, secrets))?;
    typed.oidc.as_ref().map_or(Ok(()), oidc)
}

fn email(email: &Email, secrets: &Secrets) -> Result<(), String> {
    if !is_host(&email.host) || email.port == 0 {
        return Err(format!("{:?} port {} is no mail server", email.host, email.port));
    }
    if email.security == Security::Plain && !is_here(&email.host) {
        return Err(format!(
            "mail goes without TLS to this very host alone, not to {}: say tls or starttls",
            email.host
        ));
    }
    if !(1..=MOST_ADDRESSES).contains(&email.to.len()) {
        return Err(format!("mail goes to 1 to {MOST_ADDRESSES} addresses"));
    }
    for address in email.to.iter().chain([&email.from]) {
        address.parse::<Mailbox>().map_err(|_| format!("{address:?} is no address of mail"))?;
    }
    if email.user.is_none() && email.secret(secrets).is_some() {
        return Err("there is a password for the mail server, and no user".into());
    }
    authorities(email.ca_pem.as_deref(), "the mail server")
}

fn is_host(host: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    (1..=253).contains(&host.len()) && host.chars().all(plain)
}

/// Whether a host is this one, whatever names are resolved to.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

fn webhook(webhook: &Webhook, secrets: &Secrets) -> Result<(), String> {
    let url = https(&webhook.url)?;
    if webhook.secret(secrets).is_none_or(|secret| secret.len() < SECRET) {
        return Err(format!("the webhook {url} has no secret of at least {SECRET} bytes to be signed with"));
    }
    if let Some(why) = address_of(&url).and_then(refused).filter(|_| !webhook.allow_link_local) {
        return Err(format!("the webhook {url} is refused: {why}; allow_link_local permits it"));
    }
    authorities(webhook.ca_pem.as_deref(), &format!("the webhook {url}"))
}

/// The address that a URL names without any resolving.
pub(crate) fn address_of(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

fn oidc(oidc: &Oidc) -> Result<(), String> {
    let issuer = https(&oidc.issuer)?;
    if let Some(why) = address_of(&issuer).and_then(refused) {
        return Err(format!("the issuer {issuer} is refused: {why}"));
    }
    if oidc.client_id.is_empty() || oidc.client_id.len() > 256 || oidc.groups_claim.is_empty() {
        return Err("single sign-on needs a client_id and the name of a claim".into());
    }
    if oidc.scopes.iter().any(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
        return Err("a scope is one word".into());
    }
    if oidc.groups.len() > MOST_GROUPS {
        return Err(format!("at most {MOST_GROUPS} groups give roles"));
    }
    for group in &oidc.groups {
        checked_grants(&group.grants).map_err(|failure| format!("the group {:?}: {}", group.group, failure.message))?;
    }
    authorities(oidc.ca_pem.as_deref(), "single sign-on")
}

fn https(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host());
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    url.ok_or_else(|| format!("{text:?} is no address that begins with https:// and has neither password nor #"))
}

/// Refuses what would be of no use without a word: it is only looked at when somebody is to be told.
fn authorities(pem: Option<&str>, whose: &str) -> Result<(), String> {
    let Some(pem) = pem else { return Ok(()) };
    let wrong = |why: &str| format!("the authorities of {whose} (ca_pem) {why}");
    let parts: Result<Vec<(SectionKind, Vec<u8>)>, _> = PemObject::pem_slice_iter(pem.as_bytes()).collect();
    let parts = parts.map_err(|_| wrong("are no PEM that can be read"))?;
    if parts.is_empty() {
        return Err(wrong("hold no certificate: it begins with -----BEGIN CERTIFICATE-----"));
    }
    // Everybody who sees the settings would see a key.
    if parts.iter().any(|(kind, _)| *kind != SectionKind::Certificate) {
        return Err(wrong("hold something else than certificates, such as a key"));
    }
    let mut trusted = RootCertStore::empty();
    for (at, (_, der)) in (1..).zip(parts) {
        let added = trusted.add(CertificateDer::from(der));
        added.map_err(|_| wrong(&format!("hold as number {at} what is no certificate")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn judged(settings: Value) -> Result<(), String> {
        let typed: Typed = serde_json::from_value(settings).map_err(|e| e.to_string())?;
        let (typed, secrets) = typed.part(&Secrets::default());
        check(&typed, &secrets)
    }

    fn mail(change: (&str, Value)) -> Value {
        let mut email = json!({ "host": "mail.example.org", "port": 465, "security": "tls", "from": "Backstay <a@b.c>",
            "to": ["d@e.f"], "user": "u", "password": "p" });
        email[change.0] = change.1;
        json!({ "alerts": { "email": email } })
    }

    #[test]
    fn mail_servers() {
        assert_eq!(judged(mail(("port", json!(587)))), Ok(()));
        for (field, value) in [
            ("host", json!("a b")),
            ("host", json!("")),
            ("port", json!(0)),
            ("security", json!("plain")),
            ("security", json!("none")),
            ("from", json!("a@b.c\r\nBcc: x@y.z")),
            ("to", json!([])),
            ("to", json!(["nobody"])),
            ("user", Value::Null),
        ] {
            assert!(judged(mail((field, value.clone()))).is_err(), "{field} {value}");
        }
        for here in ["localhost", "127.0.0.1", "::1"] {
            let mut settings = mail(("host", json!(here)));
            settings["alerts"]["email"]["security"] = json!("plain");
            assert_eq!(judged(settings), Ok(()), "{here}");
        }
    }

    #[test]
    fn authorities_are_certificates_and_nothing_else() {
        let key = rcgen::KeyPair::generate().unwrap();
        let of = |key: &rcgen::KeyPair| rcgen::CertificateParams::default().self_signed(key).unwrap().pem();
        let both = format!("the one\n{}\nthe other\n{}", of(&key), of(&rcgen::KeyPair::generate().unwrap()));
        assert_eq!(judged(mail(("ca_pem", json!(both)))), Ok(()));
        assert_eq!(judged(mail(("ca_pem", Value::Null))), Ok(()));
        for (pem, why) in [
            (String::new(), "hold no certificate"),
            ("/etc/ssl/ca.pem".into(), "hold no certificate"),
            ("-----BEGIN CERTIFICATE-----".into(), "no PEM"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----".into(), "no PEM"),
            (format!("{both}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "as number 3"),
            (format!("{both}{}", key.serialize_pem()), "such as a key"),
        ] {
            let hook = json!([{ "url": "https://a/", "secret": "0123456789abcdef", "ca_pem": pem }]);
            let oidc = json!({ "issuer": "https://a/", "client_id": "b", "ca_pem": pem });
            let wrongs = [
                (judged(mail(("ca_pem", json!(pem)))), "of the mail server"),
                (judged(json!({ "alerts": { "webhooks": hook } })), "of the webhook https://a/"),
                (judged(json!({ "oidc": oidc })), "of single sign-on"),
            ];
            for (wrong, whose) in wrongs {
                let wrong = wrong.unwrap_err();
                assert!(wrong.contains(why) && wrong.contains(whose), "{pem:?}: {wrong}");
                assert!(!wrong.contains("PRIVATE"), "what was typed is not said again");
            }
        }
    }

    #[test]
    fn webhooks() {
        let one = |url: &str| json!({ "url": url, "secret": "0123456789abcdef" });
        let hooks = |hooks: Value| judged(json!({ "alerts": { "webhooks": hooks } }));
        assert_eq!(hooks(json!([one("https://chat.example.org/hook?x=1"), one("https://10.0.0.1/")])), Ok(()));
        let bad = [
            "http://a/",
            "https://",
            "https://u:p@a/",
            "https://a/#b",
            "ftp://a/",
            "https://169.254.169.254/latest",
            "https://[fe80::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://0xa9fea9fe/",
        ];
        for url in bad {
            assert!(hooks(json!([one(url)])).is_err(), "{url}");
        }
        assert!(hooks(json!([one("https://a/"), one("https://a/")])).is_err());
        assert!(hooks(json!([{ "url": "https://a/", "secret": "short" }])).is_err());
        let allowed = json!({ "url": "https://169.254.1.1/", "secret": "0123456789abcdef", "allow_link_local": true });
        assert_eq!(hooks(json!([allowed])), Ok(()));
    }

    #[test]
    fn promises_and_issuers() {
        assert_eq!(judged(json!({ "promise_seconds": 900 })), Ok(()));
        assert!(judged(json!({ "promise_seconds": 0 })).is_err());
        let oidc = |issuer: &str, role: &str| {
            json!({ "oidc": { "issuer": issuer, "client_id": "b",
            "groups": [{ "group": "admins", "grants": [{ "role": role, "scope": "all" }] }] } })
        };
        assert_eq!(judged(oidc("https://login.example.org/realm", "operator")), Ok(()));
        assert!(judged(oidc("http://login.example.org", "operator")).is_err());
        assert!(judged(oidc("https://login.example.org", "king")).is_err());
    }
}
