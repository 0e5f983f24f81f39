//! What happens to requests: rates, fates, and the refusals of a server or a proxy.

use std::time::Duration;

use saved_objects::cluster::elastic::HttpAnswer;

use crate::dice::Dice;

/// How many requests in a thousand meet each fate; the others are delivered.
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
    /// The longest time of an ordinary way to the server.
    pub(crate) way: Duration,
    /// The longest time that a slow or late request is under way.
    pub(crate) longest: Duration,
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The request is done and answered.
    Delivered,
    /// No connection can be made.
    Unconnected,
    /// The request is lost before the server.
    Lost,
    /// The request is done, and its answer is lost.
    Unanswered,
    /// The sender loses the connection, and the request is done much later.
    Late,
    /// The request or its answer is slow; its sender may have given up on it.
    Slow,
    /// The request is done and answered, and done again later.
    Twice,
    /// The request is refused, and not done.
    Refused,
    /// The request is refused, although it is done.
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
    /// Returns weather without faults and with short ways.
    pub(crate) fn quiet() -> Self {
        Self { way: Duration::from_millis(5), longest: Duration::from_secs(1), ..Self::default() }
    }

    /// Returns weather with few faults.
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

    /// Returns weather with many faults.
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

    /// Returns the fate of a request.
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

    /// Returns how long a request, or its answer, is under way.
    pub(crate) fn under_way(&self, dice: &Dice) -> Duration {
        Duration::from_micros(dice.below(self.way.as_micros() as u64).max(100))
    }

    /// Returns how long a slow request is under way.
    pub(crate) fn slow_way(&self, dice: &Dice) -> Duration {
        Duration::from_millis(500 + dice.below(self.longest.as_millis() as u64))
    }
}

/// Returns a refusal of a server, or of a proxy before it, that did nothing.
pub(crate) fn refusal(dice: &Dice) -> HttpAnswer {
    match dice.below(8) {
        0 | 1 => HttpAnswer::too_many_requests(),
        2 => HttpAnswer::of_proxy(429).retry_after(1),
        3 => HttpAnswer::unavailable(),
        4 => HttpAnswer::of_proxy(503).retry_after(2),
        5 => HttpAnswer::of_proxy(502),
        6 => HttpAnswer::of_proxy(404),
        _ => HttpAnswer::forbidden(),
    }
}

/// Returns what replaces `answer` although the server did the request: a refusal, or half of the answer.
pub(crate) fn refusal_though_done(dice: &Dice, is_bulk: bool, answer: &HttpAnswer) -> HttpAnswer {
    match dice.below(9) {
        5 => HttpAnswer::of_proxy(429).retry_after(1),
        6 if is_bulk => HttpAnswer::of_proxy(413),
        7 => HttpAnswer::of_proxy(401),
        8 => HttpAnswer { body: answer.body.slice(..answer.body.len() / 2), ..answer.clone() },
        0 => HttpAnswer::internal_error(),
        1 => HttpAnswer::of_proxy(500),
        2 => HttpAnswer::of_proxy(408),
        3 => HttpAnswer::of_proxy(502),
        _ => HttpAnswer::of_proxy(504),
    }
}
