//! The parameters of a world: its nodes, its weather, the acts of the adversary and the operator. All of them follow
//! from the seed.

use std::time::Duration;

use crate::dice::Dice;
use crate::weather::Weather;

/// The kinds of worlds. The ordinary run uses [`MIXED`](Profile::MIXED); each other kind looks for one kind of fault
/// that would be rare, or hidden by other faults, in `MIXED`.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// The release of each node.
    pub(crate) releases: Vec<u32>,
    pub(crate) weather: Weather,
    /// How long the world lasts before the quiet time.
    pub(crate) lasts: Duration,
    /// The time within which the nodes start for the first time.
    pub(crate) starts_within: Duration,
    /// The number of users of each node.
    pub(crate) users: u64,
    /// The longest pause of a user.
    pub(crate) pause: Duration,
    /// The number of documents in a page, and in a bulk.
    pub(crate) page: usize,
    pub(crate) bulk: usize,
    pub(crate) request_timeout: Duration,
    /// The number of requests in a thousand of a migration at which the node is stalled or killed.
    pub(crate) stalls: u64,
    pub(crate) kills: u64,
    /// The same for other requests.
    pub(crate) user_stalls: u64,
    pub(crate) user_kills: u64,
    /// The state of migrations in which nodes are stalled and killed, if it is only one.
    pub(crate) stalled_in: Option<&'static str>,
    /// The longest stall.
    pub(crate) longest_stall: Duration,
    /// Whether other software has indices with names like ours.
    pub(crate) has_neighbours: bool,
    /// The largest request that the server accepts.
    pub(crate) content_limit: Option<usize>,
    /// Whether there is an operator.
    pub(crate) has_operator: bool,
    /// Whether nothing exists in the beginning, so that the indices are created during faults.
    pub(crate) begins_empty: bool,
    /// Whether there is a document that no copy can convert, until the operator deletes it in the quiet time.
    pub(crate) has_bad_document: bool,
    /// Whether such a document is quarantined in the quiet time instead of being deleted.
    pub(crate) has_quarantine: bool,
    /// The shortest life of a node before it is stopped and started again.
    pub(crate) shortest_life: Duration,
    /// The operation of users, if it is only one.
    pub(crate) users_only: Option<Only>,
    /// Whether all clocks are right.
    pub(crate) has_true_clocks: bool,
}

/// The only operation of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Only {
    /// Raise one counter.
    Count,
    /// Claim authorizations.
    Claim,
}

impl Profile {
    /// The names of the kinds.
    pub(crate) const NAMES: [&'static str; 9] =
        [Self::MIXED, "calm", "copy-race", "answers", "neighbours", "content-limit", "operator", "counters", "claims"];
    /// The kind of the ordinary run.
    pub(crate) const MIXED: &'static str = "mixed";

    /// Creates the profile of one seed.
    pub(crate) fn new(name: &str, dice: &Dice) -> Self {
        let mut profile = Self::mixed(dice);
        match name {
            "calm" => {
                profile.weather = Weather::calm();
                profile.free_of_special_cases();
            }
            "copy-race" => {
                profile.free_of_special_cases();
                profile.weather = Weather { way: Duration::from_millis(400), ..Weather::quiet() };
                profile.releases = vec![1, 3, 1, 1, 3];
                (profile.stalls, profile.kills, profile.stalled_in) = (200, 0, Some("fill"));
                profile.longest_stall = Duration::from_secs(30);
                (profile.user_stalls, profile.user_kills) = (0, 0);
                (profile.page, profile.bulk, profile.request_timeout) = (2, 2, Duration::from_secs(30));
                (profile.lasts, profile.starts_within) = (Duration::from_secs(90), Duration::from_secs(40));
                (profile.users, profile.pause) = (2, Duration::from_millis(300));
                profile.shortest_life = Duration::from_secs(3);
            }
            "answers" => {
                profile.free_of_special_cases();
                profile.weather = Weather::stormy();
                profile.releases = vec![profile.releases[0]; 2];
                (profile.users, profile.pause) = (4, Duration::from_millis(200));
                (profile.user_stalls, profile.user_kills) = (0, 0);
            }
            "counters" | "claims" => {
                profile.free_of_special_cases();
                let way = Duration::from_millis(4);
                profile.weather = Weather { unanswered: 150, way, ..Weather::quiet() };
                profile.releases = vec![2; 4];
                (profile.users, profile.pause) = (3, Duration::from_millis(15));
                (profile.user_stalls, profile.user_kills) = (0, 0);
                profile.lasts = Duration::from_secs(8);
                profile.starts_within = Duration::from_secs(1);
                profile.has_true_clocks = true;
                profile.users_only = Some(if name == "claims" { Only::Claim } else { Only::Count });
            }
            "neighbours" => {
                profile.free_of_special_cases();
                profile.weather = Weather::quiet();
                profile.has_neighbours = true;
            }
            "content-limit" => {
                profile.free_of_special_cases();
                profile.weather = Weather::quiet();
                profile.content_limit = Some(1_600);
            }
            "operator" => {
                profile.free_of_special_cases();
                profile.weather = Weather::quiet();
                profile.has_operator = true;
            }
            _ => {}
        }
        profile
    }

    fn mixed(dice: &Dice) -> Self {
        let size = || 2 + dice.below(9) as usize;
        let weather = if dice.happens(60) { Weather::calm() } else { Weather::stormy() };
        let first = 1 + dice.below(2) as u32;
        let nodes = 2 + dice.below(4);
        let mut releases: Vec<u32> = (0..nodes).map(|_| first + dice.below(u64::from(4 - first)) as u32).collect();
        // At least one node that migrates.
        releases.push(first + 1 + dice.below(u64::from(3 - first)) as u32);
        Self {
            releases,
            weather,
            lasts: Duration::from_secs(20 + dice.below(60)),
            starts_within: Duration::from_secs(1 + dice.below(20)),
            users: 1 + dice.below(2),
            pause: Duration::from_millis(500 + dice.below(4_000)),
            page: size(),
            bulk: size(),
            request_timeout: Duration::from_secs([5, 10, 30][dice.below(3) as usize]),
            stalls: dice.below(12),
            kills: dice.below(8),
            user_stalls: dice.below(4),
            user_kills: dice.below(3),
            stalled_in: None,
            longest_stall: Duration::from_secs(10 + dice.below(50)),
            has_neighbours: dice.happens(30),
            content_limit: dice.happens(15).then(|| 1_600 + dice.below(4_000) as usize),
            has_operator: dice.happens(50),
            shortest_life: Duration::from_secs(if dice.happens(50) { 10 } else { 1_000 }),
            begins_empty: dice.happens(20),
            has_bad_document: dice.happens(10),
            users_only: None,
            has_true_clocks: dice.happens(20),
            has_quarantine: dice.happens(50),
        }
    }

    fn free_of_special_cases(&mut self) {
        (self.has_neighbours, self.content_limit, self.has_operator) = (false, None, false);
        (self.begins_empty, self.has_bad_document) = (false, false);
    }
}
