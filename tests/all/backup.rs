//! A snapshot of a test's indices on a server that has a folder for it, the loss of the indices, and their restore.

use serde_json::{Value, json};

use crate::context::Context;

/// A snapshot, in a repository of its own.
#[derive(Debug)]
pub(crate) struct Backup {
    context: Context,
    repository: String,
}

impl Backup {
    /// Takes a snapshot of the indices that a pattern matches.
    pub(crate) async fn of(context: &Context, indices: &str) -> Self {
        Self::with(context, json!({"indices": indices, "include_global_state": false})).await
    }

    /// Takes a snapshot of all indices of the test's store.
    pub(crate) async fn of_store(context: &Context) -> Self {
        Self::of(context, &format!("{}-*", context.prefix)).await
    }

    /// Takes a snapshot with these options.
    pub(crate) async fn with(context: &Context, options: Value) -> Self {
        let backup = Self { context: context.clone(), repository: format!("/_snapshot/{}", context.prefix) };
        let place = json!({"type": "fs", "settings": {"location": context.prefix.to_string()}});
        let made = context.raw("PUT", &backup.repository, Some(place)).await;
        assert_eq!(made["acknowledged"], true, "{made}");
        let path = format!("{}?wait_for_completion=true", backup.path());
        let taken = context.raw("PUT", &path, Some(options)).await;
        assert_eq!(taken["snapshot"]["state"], "SUCCESS", "{taken}");
        backup
    }

    fn path(&self) -> String {
        format!("{}/one", self.repository)
    }

    /// Restores indices of the snapshot with their aliases and without the global state.
    pub(crate) async fn restore(&self, indices: &str) {
        self.restore_with(json!({"indices": indices, "include_aliases": true, "include_global_state": false})).await;
    }

    /// Restores all indices of the test's store.
    pub(crate) async fn restore_store(&self) {
        self.restore(&format!("{}-*", self.context.prefix)).await;
    }

    /// Restores with these options.
    pub(crate) async fn restore_with(&self, options: Value) {
        let path = format!("{}/_restore?wait_for_completion=true", self.path());
        let restored = self.context.raw("POST", &path, Some(options)).await;
        assert_eq!(restored["snapshot"]["shards"]["failed"], 0, "{restored}");
    }

    /// Deletes the snapshot.
    pub(crate) async fn delete(self) {
        self.context.raw("DELETE", &self.path(), None).await;
        self.context.raw("DELETE", &self.repository, None).await;
    }
}

/// Returns the names of all indices of a prefix, hidden ones too.
pub(crate) async fn indices(context: &Context) -> Vec<String> {
    let found = context.raw("GET", &format!("/{}-*?expand_wildcards=all", context.prefix), None).await;
    found.as_object().expect("indices").keys().cloned().collect()
}

/// Loses a store: deletes all of its indices.
pub(crate) async fn lose(context: &Context) {
    let all = indices(context).await;
    assert!(!all.is_empty(), "there is something to lose");
    let gone = context.raw("DELETE", &format!("/{}", all.join(",")), None).await;
    assert_eq!(gone["acknowledged"], true, "{gone}");
}
