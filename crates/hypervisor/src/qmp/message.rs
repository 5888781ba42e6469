//! What a monitor or an agent says: one JSON object a line.
//!
//! Never knows: who reads it.

use serde_json::Value;

/// One thing that was said.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A monitor says what it is.
    Greeting,
    /// A command was done.
    Return {
        /// Which, if it was numbered.
        id: Option<u64>,
        /// What came of it.
        value: Value,
    },
    /// A command was declined.
    Error {
        /// Which, if it was numbered.
        id: Option<u64>,
        /// The kind.
        class: String,
        /// Why, in words.
        text: String,
    },
    /// Something happened.
    Event,
}

/// Understands one line.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(line: &[u8]) -> Result<Message, String> {
    // An agent puts this byte before its answer to a synchronization.
    let line = line.strip_prefix(&[0xFF]).unwrap_or(line);
    let said: Value = serde_json::from_slice(line).map_err(|e| format!("it is no JSON: {e}"))?;
    let Value::Object(mut said) = said else { return Err("it is no JSON object".into()) };
    let id = said.get("id").and_then(Value::as_u64);
    if let Some(value) = said.remove("return") {
        return Ok(Message::Return { id, value });
    }
    if let Some(error) = said.get("error") {
        let field = |name: &str| plain(error[name].as_str().unwrap_or_default());
        return Ok(Message::Error { id, class: field("class"), text: field("desc") });
    }
    if said.contains_key("event") {
        return Ok(Message::Event);
    }
    if said.contains_key("QMP") {
        return Ok(Message::Greeting);
    }
    Err("it is no answer, event or greeting".into())
}

/// Words of others as they may be shown: on one line, of some length, without control characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let value = |text: &str| parse(text.as_bytes());
        assert_eq!(
            value(r#"{"return": {}, "id": 3}"#),
            Ok(Message::Return { id: Some(3), value: serde_json::json!({}) })
        );
        let error = value(r#"{"error": {"class": "GenericError", "desc": "no\nsuch node"}}"#);
        let expected = Message::Error { id: None, class: "GenericError".into(), text: "no such node".into() };
        assert_eq!(error, Ok(expected));
        assert_eq!(value(r#"{"event": "STOP", "data": {}}"#), Ok(Message::Event));
        assert_eq!(value(r#"{"QMP": {}}"#), Ok(Message::Greeting));
        for bad in ["", "[]", "{}", "3", "{\"return\"", "\u{1}"] {
            assert!(value(bad).is_err(), "{bad:?}");
        }
        assert!(value(&"[".repeat(100_000)).is_err());
    }
}
