//! The gate, which decides whether a generation takes writes.

use super::names::{IndexNames, Mark};

/// The state of a generation's gate, as given by its aliases: whether the index takes writes. Users write through one
/// alias, so a single conditional alias request closes or opens the gate. A write block takes no condition; it only
/// drains the writes in progress.
///
/// ```text
/// open ──close──→ copying-<nonce> ──undo──→ undoing-<nonce> ──→ open
///                      └──swap──→ (the next generation is open)
/// ```
///
/// Every step removes the alias that it found, which must exist, and marks have nonces. A step that arrives late, after
/// others have continued, therefore fails. Record 15 has the reasons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gate {
    /// Whether the alias for writes exists.
    pub is_open: bool,
    /// The marks of a copy or rollback that is running or was interrupted: at most one.
    pub copying: Vec<String>,
    /// The marks of an undoing: at most one.
    pub undoing: Vec<String>,
}

impl Gate {
    /// Reads the gate from the aliases of a generation's index.
    pub fn of<'a>(names: &IndexNames, generation: u32, aliases: impl IntoIterator<Item = &'a String>) -> Self {
        let write_alias = names.write_alias(generation);
        let (copying, undoing) =
            (names.mark_start(generation, Mark::Copying), names.mark_start(generation, Mark::Undoing));
        let mut gate = Self::default();
        for alias in aliases {
            if *alias == write_alias {
                gate.is_open = true;
            } else if alias.starts_with(&copying) {
                gate.copying.push(alias.clone());
            } else if alias.starts_with(&undoing) {
                gate.undoing.push(alias.clone());
            }
        }
        gate
    }

    /// Returns whether the index takes writes and nothing is left of a copy.
    pub fn is_plain(&self) -> bool {
        self.is_open && !self.is_marked()
    }

    /// Returns whether a mark shows that a write block belongs to a copy, and may be removed.
    pub fn is_marked(&self) -> bool {
        !self.copying.is_empty() || !self.undoing.is_empty()
    }

    /// Returns all marks.
    pub fn marks(&self) -> impl Iterator<Item = &String> {
        self.copying.iter().chain(&self.undoing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Prefix;

    #[test]
    fn a_gate_is_read_off_the_aliases() {
        let names = Prefix::default().group("notes");
        let of = |aliases: &[&str]| {
            let aliases: Vec<String> = aliases.iter().map(|end| format!("{}{end}", names.alias())).collect();
            Gate::of(&names, 1, &aliases)
        };
        assert!(of(&["", "-000001-write"]).is_plain());
        assert!(!of(&[""]).is_plain() && !of(&[""]).is_marked());
        let copying = of(&["", "-000001-copying-a1"]);
        assert!(copying.is_marked() && !copying.is_open);
        assert_eq!(copying.copying, ["saved-objects-notes-000001-copying-a1"]);
        assert!(of(&["-000001-undoing-b"]).is_marked());
        assert_eq!(of(&["-000002-write", "-000002-copying-a"]), Gate::default(), "another generation's");
    }
}
