//! What becomes of requests: rates, fates, and the refusals that a server or a proxy gives.

use std::time::Duration;

use bytes::Bytes;
use saved_objects::cluster::elastic::HttpAnswer;

use crate::dice::Dice;

/// Of a thousand requests, how many meet which fate; the others are delivered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather {
    pub(crate) unconnected: u64,
    pub(crate) lost: u64,
    pub(crate) unanswered: u64,
    pub(crate) late: u64,
    pub(crate) slow: u64,
    pub(crate) twice: u64,
    pub(crate) refused: u64,
    pub(crate) refused_though_done: u64,
    pub(crate) cut: u64,
    /// How long an ordinary way to the server takes at most.
    pub(crate) way: Duration,
    /// How long a slow or late request is under way at most.
    pub(crate) longest: Duration,
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is done and answered.
    Delivered,
    /// No connection can be made.
    Unconnected,
    /// It is lost before the server.
    Lost,
    /// It is done, and its answer is lost.
    Unanswered,
    /// Its sender hears that the connection is lost, and it is done long after.
    Late,
    /// It, or its answer, is slow; its sender may have given up on it.
    Slow,
    /// It is done and answered, and done again later.
    Twice,
    /// It is refused, and not done.
    Refused,
    /// It is refused, though it is done.
    RefusedThoughDone,
    /// The first half of a bulk is done, and the connection is cut.
    Cut,
}

impl Fate {
    /// The names of all fates, for the coverage.
    pub(crate) const NAMES: [&'static str; 10] =
        ["delivered", "unconnected", "lost", "unanswered", "late", "slow", "twice", "refused", "refused_done", "cut"];

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl Weather {
    /// No faults at all, and short ways.
    pub(crate) fn quiet() -> Self {
        Self { way: Duration::from_millis(5), longest: Duration::from_secs(1), ..Self::default() }
    }

    /// Few faults.
    pub(crate) fn calm() -> Self {
        Self {
            unconnected: 2,
            lost: 3,
            unanswered: 5,
            late: 2,
            slow: 5,
            twice: 3,
            refused: 4,
            refused_though_done: 2,
            cut: 3,
            way: Duration::from_millis(30),
            longest: Duration::from_secs(20),
        }
    }

    /// Many faults.
    pub(crate) fn stormy() -> Self {
        Self {
            unconnected: 10,
            lost: 20,
            unanswered: 40,
            late: 15,
            slow: 30,
            twice: 15,
            refused: 25,
            refused_though_done: 10,
            cut: 20,
            way: Duration::from_millis(80),
            longest: Duration::from_secs(20),
        }
    }

    /// The fate of a request, which may be a bulk.
    pub(crate) fn fate(&self, dice: &Dice, is_bulk: bool) -> Fate {
        let rates = [
            (self.unconnected, Fate::Unconnected),
            (self.lost, Fate::Lost),
            (self.unanswered, Fate::Unanswered),
            (self.late, Fate::Late),
            (self.slow, Fate::Slow),
            (self.twice, Fate::Twice),
            (self.refused, Fate::Refused),
            (self.refused_though_done, Fate::RefusedThoughDone),
            (self.cut, if is_bulk { Fate::Cut } else { Fate::Unanswered }),
        ];
        let mut left = dice.below(1_000);
        for (rate, fate) in rates {
            if left < rate {
                return fate;
            }
            left -= rate;
        }
        Fate::Delivered
    }

    /// How long a request, or its answer, is under way.
    pub(crate) fn under_way(&self, dice: &Dice) -> Duration {
        Duration::from_micros(dice.below(self.way.as_micros() as u64).max(100))
    }

    /// How long a slow request is under way.
    pub(crate) fn slow_way(&self, dice: &Dice) -> Duration {
        Duration::from_millis(500 + dice.below(self.longest.as_millis() as u64))
    }
}

/// A refusal that is no answer to what was asked: of a server that did nothing.
pub(crate) fn refusal(dice: &Dice) -> HttpAnswer {
    const BUSY: &str =
        r#"{"error":{"type":"es_rejected_execution_exception","reason":"rejected execution"},"status":429}"#;
    const NO_MASTER: &str = r#"{"error":{"type":"cluster_block_exception","reason":"blocked by: [SERVICE_UNAVAILABLE/2/no master];"},"status":503}"#;
    const DENIED: &str = r#"{"error":{"type":"security_exception","reason":"action is unauthorized"},"status":403}"#;
    const PAGE: &str = "<html>an error page</html>";
    let (status, is_elasticsearch, body, retry_after) = match dice.below(8) {
        0 | 1 => (429, true, BUSY, None),
        2 => (429, false, PAGE, Some("1")),
        3 => (503, true, NO_MASTER, None),
        4 => (503, false, PAGE, Some("2")),
        5 => (502, false, PAGE, None),
        6 => (404, false, PAGE, None),
        _ => (403, true, DENIED, None),
    };
    answer(status, is_elasticsearch, body, retry_after)
}

/// A refusal that comes although the server did, or does, what was asked.
pub(crate) fn refusal_though_done(dice: &Dice) -> HttpAnswer {
    const FAILED: &str = r#"{"error":{"type":"exception","reason":"something failed"},"status":500}"#;
    let (status, is_elasticsearch, body) = match dice.below(5) {
        0 => (500, true, FAILED),
        1 => (500, false, ""),
        2 => (408, false, ""),
        3 => (502, false, ""),
        _ => (504, false, ""),
    };
    answer(status, is_elasticsearch, body, None)
}

/// The answer to a request that is larger than the server takes: by the server's HTTP layer, without the product header.
pub(crate) fn too_large() -> HttpAnswer {
    answer(413, false, "", None)
}

fn answer(status: u16, is_elasticsearch: bool, body: &'static str, retry_after: Option<&str>) -> HttpAnswer {
    let retry_after = retry_after.map(str::to_owned);
    HttpAnswer { status, is_elasticsearch, retry_after, body: Bytes::from_static(body.as_bytes()) }
}
