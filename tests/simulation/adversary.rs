//! Stalls and kills nodes at their requests, most of all at those of migrations.

use std::time::Duration;

use crate::network::Network;
use crate::node::Life;
use crate::profile::Profile;
use crate::request::Sent;

/// How many requests in a thousand stall or kill their sender.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ambush {
    stalls: u64,
    kills: u64,
    user_stalls: u64,
    user_kills: u64,
    longest_stall: Duration,
    only_in: Option<&'static str>,
}

impl Ambush {
    pub(crate) fn new(profile: &Profile) -> Self {
        let Profile { stalls, kills, user_stalls, user_kills, longest_stall, stalled_in: only_in, .. } = *profile;
        Self { stalls, kills, user_stalls, user_kills, longest_stall, only_in }
    }
}

impl Network {
    /// May stall or kill the sender of a request that is already under way.
    pub(crate) fn ambush(&self, life: &Life, sent: &Sent) {
        let ambush = self.ambush_now();
        let (stalls, kills) =
            if sent.state == "-" { (ambush.user_stalls, ambush.user_kills) } else { (ambush.stalls, ambush.kills) };
        if ambush.only_in.is_some_and(|state| state != sent.state) {
            return;
        }
        let number = self.dice().below(1_000);
        if number < stalls {
            let millis = 1_000 + self.dice().below(ambush.longest_stall.as_millis() as u64);
            let duration = Duration::from_millis(millis);
            self.journal.count(&format!("stalled in {}", sent.state));
            self.journal.act("stall", || format!("{} is stalled for {duration:.1?} [{}]", life.name, sent.state));
            life.disturb();
            self.simulator.stall(life.id, duration);
        } else if number < stalls + kills {
            self.journal.count(&format!("killed in {}", sent.state));
            self.journal.act("kill", || format!("{} is killed [{}]", life.name, sent.state));
            life.disturb();
            self.simulator.kill(life.id);
        }
    }
}
