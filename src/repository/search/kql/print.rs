//! KQL: from tree to text.

use std::fmt;

use super::tree::{Literal, Node, Value};

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(nodes) => list(f, nodes, " and "),
            Self::Or(nodes) => list(f, nodes, " or "),
            Self::Not(node) => {
                f.write_str("not ")?;
                operand(f, node)
            }
            Self::Is { field: None, value } => write!(f, "{value}"),
            Self::Is { field: Some(field), value } => write!(f, "{field}: {value}"),
            Self::Range { field, operator, value } => write!(f, "{field} {} {value}", operator.as_str()),
            Self::Nested { field, node } => write!(f, "{field}: {{ {node} }}"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, nodes: &[Node], between: &str) -> fmt::Result {
    for (number, node) in nodes.iter().enumerate() {
        if number > 0 {
            f.write_str(between)?;
        }
        operand(f, node)?;
    }
    Ok(())
}

fn operand(f: &mut fmt::Formatter<'_>, node: &Node) -> fmt::Result {
    match node {
        Node::And(_) | Node::Or(_) | Node::Not(_) => write!(f, "({node})"),
        Node::Is { .. } | Node::Range { .. } | Node::Nested { .. } => write!(f, "{node}"),
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Null => f.write_str("null"),
            Value::True => f.write_str("true"),
            Value::False => f.write_str("false"),
            Value::Text(text) => f.write_str(&escaped(text)),
            Value::Quoted(text) => write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
            Value::Pattern(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| escaped(part)).collect();
                f.write_str(&parts.join("*"))
            }
        }
    }
}

/// Returns a text as it is written without quotes. Every character with a special meaning is written as its number.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    // Either another kind of value, or a keyword once a blank follows.
    let reads_otherwise = matches!(text, "null" | "true" | "false") || text.to_ascii_lowercase().ends_with("not");
    for (place, character) in text.char_indices() {
        let is_plain = character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-' | '@' | '/');
        // `not` ends a text if a blank follows, as do `or` and `and` between blanks, so no blank is written plain.
        match is_plain && !(reads_otherwise && place + 1 == text.len()) {
            true => escaped.push(character),
            false => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }),
        }
    }
    escaped
}
