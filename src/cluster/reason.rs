//! Reads the texts of the server's reasons.

/// A privilege that the credentials lack. The server's reason names it: `this action is granted by the index privileges
/// [create_index,manage,all]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingPrivilege<'a> {
    /// `index` or `cluster`.
    pub level: &'a str,
    /// The privileges that allow the action, the narrowest first; any of them is enough.
    pub any_of: &'a str,
    /// The indices, if the privilege is about indices.
    pub indices: Option<&'a str>,
}

impl<'a> MissingPrivilege<'a> {
    /// Returns the privilege that a reason names.
    pub(super) fn in_reason(reason: &'a str) -> Option<Self> {
        let (action, granted) = reason.split_once("this action is granted by the ")?;
        let (level, granted) = granted.split_once(" privileges [")?;
        let (any_of, _) = granted.split_once(']')?;
        let indices = action.rsplit_once("indices [").and_then(|(_, rest)| Some(rest.split_once(']')?.0));
        Some(Self { level, any_of, indices })
    }

    /// Returns what an operator can do.
    pub(super) fn hint(self) -> String {
        let Self { level, any_of, indices } = self;
        let (first, others) = any_of.split_once(',').map_or((any_of, None), |(first, others)| (first, Some(others)));
        let others = others.map(|others| format!(" (or {})", others.replace(',', ", "))).unwrap_or_default();
        let indices = indices.map(|indices| format!(" on {}", indices.replace(',', ", "))).unwrap_or_default();
        format!(
            "grant the {level} privilege `{first}`{others}{indices}; `saved-objects privileges` prints what each job \
             needs"
        )
    }
}

/// Returns the index that the reason for a block names.
pub(super) fn index_in(reason: &str) -> Option<&str> {
    Some(reason.split_once("index [")?.1.split_once(']')?.0)
}

/// Returns the indices that a reason calls blocked: `index [a] blocked by: [FORBIDDEN/9/index metadata (api)];`.
pub(super) fn blocked_in(reason: &str) -> impl Iterator<Item = &str> {
    reason.split("index [").filter_map(|rest| rest.split_once("] blocked by: [")).map(|(index, _)| index)
}

/// The characters that precede a value of a filter in a reason.
const QUOTES: &[char] = &['[', '"', '\'', '(', '{', '<'];

/// Returns the position at which a reason begins to quote something. An apostrophe within a word is no quote.
pub(super) fn quoted_from(reason: &str) -> Option<usize> {
    let within_word = |at: usize| {
        let is_letter = |character: Option<char>| character.is_some_and(char::is_alphabetic);
        let (before, after) = (reason.get(..at), reason.get(at + 1..));
        is_letter(before.and_then(|text| text.chars().next_back()))
            && is_letter(after.and_then(|text| text.chars().next()))
    };
    reason
        .match_indices(QUOTES)
        .map(|(at, _)| at)
        .find(|at| !reason.get(*at..).unwrap_or_default().starts_with('\'') || !within_word(*at))
}
