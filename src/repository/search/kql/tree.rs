//! KQL: the tree of a text, before its keys are checked.

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// At least two.
    And(Vec<Node>),
    /// At least two.
    Or(Vec<Node>),
    Not(Box<Node>),
    /// The field has the value. Without a field it would be a search in all fields.
    Is {
        field: Option<Literal>,
        value: Literal,
    },
    Range {
        field: Literal,
        operator: Operator,
        value: Literal,
    },
    /// One of the nested objects at the field matches.
    Nested {
        field: Literal,
        node: Box<Node>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// A word of the text.
#[derive(Debug, Clone)]
pub(super) struct Literal {
    /// The position where it began, in bytes.
    pub(super) place: usize,
    pub(super) value: Value,
}

/// The position is not part of the meaning.
impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    True,
    False,
    Text(String),
    Quoted(String),
    /// The texts between the `*`: at least two parts.
    Pattern(Vec<String>),
}

impl Operator {
    pub(super) const ALL: [(&'static str, Self); 4] =
        [("<=", Self::AtMost), (">=", Self::AtLeast), ("<", Self::Less), (">", Self::Greater)];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}
