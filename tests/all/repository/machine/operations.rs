//! The operations of clients, and the strategy that draws them.

use proptest::prelude::*;

const TYPES: [(&str, Kind); 4] =
    [("note", Kind::Agnostic), ("page", Kind::Single), ("board", Kind::Multiple), ("card", Kind::Isolated)];
/// With the namespace `page`, the page `a` there and the page `page:a` of the default namespace have one stored id.
/// With the namespace `note`, the page `a` there and the note `page:a` have one.
const IDS: [&str; 3] = ["a", "b", "page:a"];
const NAMESPACES: [&str; 4] = ["default", "ops", "page", "note"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Agnostic,
    Single,
    Multiple,
    Isolated,
}

/// The name of an object for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) type_name: &'static str,
    pub(super) kind: Kind,
    pub(super) id: &'static str,
    pub(super) namespace: &'static str,
}

impl Key {
    /// Returns whether references of such objects are collected.
    pub(super) fn is_collected(&self) -> bool {
        matches!(self.kind, Kind::Multiple | Kind::Isolated)
    }

    pub(super) fn raw(&self) -> String {
        match self.kind {
            Kind::Single if self.namespace != "default" => format!("{}:{}:{}", self.namespace, self.type_name, self.id),
            _ => format!("{}:{}", self.type_name, self.id),
        }
    }
}

/// One object to create.
#[derive(Debug, Clone)]
pub(super) struct New {
    pub(super) key: Key,
    pub(super) title: String,
    pub(super) refers_to: Option<Key>,
    pub(super) origin: Option<&'static str>,
    pub(super) overwrite: bool,
}

/// A search.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) types: Vec<&'static str>,
    pub(super) namespaces: Vec<&'static str>,
    pub(super) title: Option<String>,
}

/// An object, and whether the call names the version that the client knows, if the client knows one.
pub(super) type Target = (Key, bool);

#[derive(Debug, Clone)]
pub(super) enum Change {
    Count,
    Title(String),
    Refuse,
}

/// An operation of a client.
#[derive(Debug, Clone)]
pub(super) enum Operation {
    Create(New),
    CreateMany(Vec<New>),
    Get(Key),
    GetMany(Vec<Key>),
    Update(Target, Change),
    UpdateMany(Vec<Target>, Change),
    Upsert(New),
    Replace(Target, String),
    Delete(Target, bool),
    DeleteMany(Vec<Target>, bool),
    Increment(Key, bool),
    CheckConflicts(Vec<Key>),
    Resolve(Vec<Key>),
    CollectReferences(Vec<Key>),
    /// By page, as a stream, over a point in time, and as an export.
    Find(Wanted),
    /// Objects of types without several namespaces: others may get random ids, which a model cannot predict.
    Import(Vec<New>, bool),
    ChangeNamespaces {
        keys: Vec<Key>,
        add: Option<&'static str>,
        remove: Option<&'static str>,
        everywhere: bool,
    },
    RemoveReferencesTo(Key),
    DeleteNamespace(&'static str),
    /// All clients raise counters in all of these objects at the same time.
    CountAtOnce(Vec<Key>),
}

/// A client, and its operation.
pub(super) type Step = (usize, Operation);

/// Returns the key that a reference means when it is followed from this namespace.
pub(super) fn key_of((type_name, id): &(String, String), namespace: &'static str) -> Option<Key> {
    let &(type_name, kind) = TYPES.iter().find(|(name, _)| name == type_name)?;
    let id = IDS.into_iter().find(|known| known == id)?;
    Some(Key { type_name, kind, id, namespace })
}

fn keys() -> impl Strategy<Value = Key> + Clone {
    let (types, ids, namespaces) = (0..TYPES.len(), 0..IDS.len(), 0..NAMESPACES.len());
    (types, ids, namespaces).prop_map(|(at, id, namespace)| {
        let (type_name, kind) = TYPES[at];
        Key { type_name, kind, id: IDS[id], namespace: NAMESPACES[namespace] }
    })
}

pub(super) fn operations() -> impl Strategy<Value = Operation> {
    let title = || (0..4_u8).prop_map(|n| format!("t{n}"));
    let new = || {
        let origin = proptest::option::weighted(0.3, (0..IDS.len()).prop_map(|at| IDS[at]));
        (keys(), title(), proptest::option::of(keys()), origin, any::<bool>())
            .prop_map(|(key, title, refers_to, origin, overwrite)| New { key, title, refers_to, origin, overwrite })
    };
    let target = || (keys(), any::<bool>());
    let change =
        || prop_oneof![4 => Just(Change::Count), 2 => title().prop_map(Change::Title), 1 => Just(Change::Refuse)];
    let many = 0..6_usize;
    let list = || proptest::collection::vec(keys(), many.clone());
    let targets = || proptest::collection::vec(target(), many.clone());
    let namespace = || (0..NAMESPACES.len()).prop_map(|at| NAMESPACES[at]);
    let types = || proptest::sample::subsequence(TYPES.map(|(name, _)| name).to_vec(), 1..=TYPES.len());
    let namespaces = || proptest::sample::subsequence(NAMESPACES.to_vec(), 0..=NAMESPACES.len());
    let wanted = (types(), namespaces(), proptest::option::weighted(0.3, title()))
        .prop_map(|(types, namespaces, title)| Wanted { types, namespaces, title });
    let keeps_its_id = |new: &New| !new.key.is_collected();
    let lines = proptest::collection::vec(new().prop_filter("its id may change", keeps_its_id), many.clone());
    let sharing =
        (list(), proptest::option::of(namespace()), proptest::option::of(namespace()), proptest::bool::weighted(0.1))
            .prop_map(|(keys, add, remove, everywhere)| Operation::ChangeNamespaces { keys, add, remove, everywhere });
    prop_oneof![
        4 => new().prop_map(Operation::Create),
        4 => proptest::collection::vec(new(), many.clone()).prop_map(Operation::CreateMany),
        2 => keys().prop_map(Operation::Get),
        3 => list().prop_map(Operation::GetMany),
        3 => (target(), change()).prop_map(|(target, change)| Operation::Update(target, change)),
        3 => (targets(), change()).prop_map(|(targets, change)| Operation::UpdateMany(targets, change)),
        2 => new().prop_map(Operation::Upsert),
        2 => (target(), title()).prop_map(|(target, title)| Operation::Replace(target, title)),
        2 => (target(), any::<bool>()).prop_map(|(target, force)| Operation::Delete(target, force)),
        2 => (targets(), any::<bool>()).prop_map(|(targets, force)| Operation::DeleteMany(targets, force)),
        2 => (keys(), any::<bool>()).prop_map(|(key, create)| Operation::Increment(key, create)),
        1 => list().prop_map(Operation::CheckConflicts),
        2 => list().prop_map(Operation::Resolve),
        2 => list().prop_map(Operation::CollectReferences),
        2 => wanted.prop_map(Operation::Find),
        2 => (lines, any::<bool>()).prop_map(|(lines, overwrite)| Operation::Import(lines, overwrite)),
        3 => sharing,
        1 => keys().prop_map(Operation::RemoveReferencesTo),
        1 => namespace().prop_map(Operation::DeleteNamespace),
        1 => list().prop_map(Operation::CountAtOnce),
    ]
}
