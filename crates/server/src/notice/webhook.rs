//! Webhooks: a POST of JSON, signed.
//!
//! ```text
//!   x-backstay-time       seconds since 1970
//!   x-backstay-signature  v1=HEX, HMAC-SHA256 by the secret over: that time, a full stop, the body
//! ```
//!
//! Never knows: when one is due.

use std::time::{SystemTime, UNIX_EPOCH};

use backstay_seal::mac::hmac_sha256;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::channel::Letter;
use super::{Why, sentence, web};
use crate::catalogue::outbox::Notice;
use crate::moment::rfc3339;
use crate::settings::Webhook;
use crate::settings::check::address_of;

/// Sends a letter: one request for each notice, in order.
///
/// # Errors
/// Why not. Some of them may have been taken.
pub(super) async fn post(hook: &Webhook, secret: &str, server: &str, letter: &Letter) -> Result<(), Why> {
    let url = reqwest::Url::parse(&hook.url).map_err(|error| sentence(&error))?;
    let refused = address_of(&url).and_then(super::address::refused).filter(|_| !hook.allow_link_local);
    if let Some(why) = refused {
        return Err(why.to_owned());
    }
    let client = web::client(hook.ca_pem.as_deref(), hook.allow_link_local)?;
    for body in bodies(server, letter) {
        let (body, time) = (body.to_string(), now());
        let request =
            client.post(url.clone()).header("content-type", "application/json").header("x-backstay-time", time);
        let request = request.header("x-backstay-signature", signature(secret, time, &body)).body(body);
        let response = request.send().await.map_err(|error| sentence(&error.without_url()))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(format!("it answered {status}; redirects are not followed: name the place itself"));
        }
        if !status.is_success() {
            return Err(format!("it answered {status}"));
        }
    }
    Ok(())
}

/// What a request carries so that its receiver knows who sent it, and when.
fn signature(secret: &str, time: u64, body: &str) -> String {
    let signed = hmac_sha256(secret.as_bytes(), format!("{time}.{body}").as_bytes());
    format!("v1={}", HEXLOWER.encode(&signed))
}

fn bodies(server: &str, letter: &Letter) -> Vec<Value> {
    let body = |one: &Notice| {
        let alert = &one.alert;
        json!({
            "event": if one.began { "began" } else { "ended" },
            "notice": one.id,
            "server": server,
            "lost": letter.lost,
            "alert": {
                "id": alert.id, "kind": alert.kind, "subject": alert.subject, "text": alert.told,
                "since": rfc3339(alert.since), "ended": (!one.began).then(|| rfc3339(one.at)),
            },
        })
    };
    match &letter.notices[..] {
        [] => vec![json!({ "event": "test", "server": server })],
        notices => notices.iter().map(body).collect(),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::super::words::tests::notice;
    use super::*;

    #[test]
    fn what_is_signed() {
        // By `printf '1700000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef`.
        let expected = "v1=e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e";
        assert_eq!(signature("0123456789abcdef", 1_700_000_000, "{}"), expected);
    }

    #[test]
    fn what_is_told() {
        let letter = Letter { notices: vec![notice(7, "web", true), notice(8, "web", false)], lost: 3 };
        let bodies = bodies("here", &letter);
        assert_eq!(
            (&bodies[0]["event"], &bodies[0]["alert"]["ended"], &bodies[0]["lost"]),
            (&json!("began"), &Value::Null, &json!(3))
        );
        assert_eq!(
            (&bodies[1]["event"], &bodies[1]["alert"]["ended"]),
            (&json!("ended"), &json!("1970-01-01T00:01:00Z"))
        );
        assert_eq!(super::bodies("here", &Letter { notices: Vec::new(), lost: 0 })[0]["event"], "test");
    }
}
