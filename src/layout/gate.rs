use super::names::{IndexNames, Mark};

/// Whether an index takes writes, as its aliases say. Users write through one alias, so one request about aliases closes the
/// gate or opens it, under a condition, which a write block cannot have: a block only drains what is under way.
///
/// ```text
/// open ──close──→ copying-<nonce> ──undo──→ undoing-<nonce> ──→ open
///                      └──swap──→ (the next generation is open)
/// ```
///
/// Every step removes the alias that it found, which must exist, and marks have nonces: so a step that lands late, after
/// others have gone on, fails. The reasons are in `docs/decisions/0015-a-gate-of-aliases.md`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gate {
    /// Whether the alias is there that writes go through.
    pub is_open: bool,
    /// The marks of a copy or rollback that is at work, or was stopped: one, or none.
    pub copying: Vec<String>,
    /// The marks of an undoing: one, or none.
    pub undoing: Vec<String>,
}

impl Gate {
    /// Reads it off the aliases of a generation's index.
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

    /// Returns whether a mark says that a write block is a copy's, and so may be lifted.
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
