//! The network between nodes and the cluster: delivers, loses, repeats, delays, cuts and refuses requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, select};
use saved_objects::cluster::InMemory;
use saved_objects::cluster::elastic::{HttpAnswer, HttpRequest, NoAnswer, NoAnswerKind, Transport};
use saved_objects::environment::Environment;

use crate::adversary::Ambush;
use crate::dice::Dice;
use crate::executor::{Simulator, WORLD, lock};
use crate::journal::{About, Journal};
use crate::node::Life;
use crate::profile::Profile;
use crate::request::Sent;
use crate::weather::{Fate, Weather, refusal, refusal_though_done};
use crate::witness::Witness;

/// The network of one world.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) simulator: Simulator,
    pub(crate) memory: InMemory,
    pub(crate) journal: Arc<Journal>,
    pub(crate) witness: Witness,
    weather: Mutex<Weather>,
    ambush: Mutex<Ambush>,
    /// The size of the largest bulk that the server accepts.
    content_limit: Option<usize>,
    dice: Dice,
}

type Heard = Result<HttpAnswer, NoAnswerKind>;

/// Whether the sender of a request that lands still waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    Waits,
    /// The sender lost the connection, gave up, or died.
    GaveUp,
    /// The sender was answered before: the network delivers the request again.
    WasAnswered,
}

/// Where the sender of a request waits for the answer.
struct Waiting(oneshot::Sender<Heard>);

impl Waiting {
    fn sender(&self) -> Sender {
        if self.0.is_canceled() { Sender::GaveUp } else { Sender::Waits }
    }

    fn hear(self, heard: Heard) {
        // The sender may be gone.
        let _ = self.0.send(heard);
    }
}

impl Network {
    pub(crate) fn new(
        simulator: Simulator,
        memory: InMemory,
        journal: Arc<Journal>,
        witness: Witness,
        content_limit: Option<usize>,
        dice: Dice,
    ) -> Self {
        let (weather, ambush) = (Mutex::new(Weather::quiet()), Mutex::default());
        Self { simulator, memory, journal, witness, weather, ambush, content_limit, dice }
    }

    pub(crate) fn dice(&self) -> &Dice {
        &self.dice
    }

    pub(crate) fn set_ambush(&self, profile: &Profile) {
        *lock(&self.ambush) = Ambush::new(profile);
    }

    pub(crate) fn set_no_ambush(&self) {
        *lock(&self.ambush) = Ambush::default();
    }

    pub(crate) fn ambush_now(&self) -> Ambush {
        lock(&self.ambush).clone()
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        *lock(&self.weather) = weather;
    }

    /// Delivers a request in its own task: it continues if the sender is stalled or dead.
    async fn carry(self: Arc<Self>, life: Arc<Life>, sent: Sent, fate: Fate, waiting: Waiting) {
        let weather = lock(&self.weather).clone();
        let (way, back) = (weather.under_way(&self.dice), weather.under_way(&self.dice));
        // No answer, or a connection that ends.
        let is_silent = self.dice.happens(30);
        let unheard = || if is_silent { Err(NoAnswerKind::TimedOut) } else { Err(NoAnswerKind::Lost) };
        self.simulator.sleep(way).await;
        match fate {
            Fate::Unconnected => {
                self.tell(&life, &sent, "no connection");
                waiting.hear(Err(NoAnswerKind::NotConnected));
            }
            Fate::Lost => {
                self.tell(&life, &sent, "lost before the server");
                waiting.hear(unheard());
            }
            Fate::Delivered | Fate::Twice => {
                let answer = self.land(&life, &sent, waiting.sender(), "");
                self.simulator.sleep(back).await;
                waiting.hear(Ok(answer));
                if fate == Fate::Twice {
                    self.simulator.sleep(weather.slow_way(&self.dice)).await;
                    self.land(&life, &sent, Sender::WasAnswered, ", delivered again");
                }
            }
            Fate::Unanswered => {
                self.land(&life, &sent, waiting.sender(), ", the answer is lost");
                self.simulator.sleep(back).await;
                waiting.hear(unheard());
            }
            Fate::Late => {
                waiting.hear(unheard());
                self.simulator.sleep(weather.slow_way(&self.dice)).await;
                self.land(&life, &sent, Sender::GaveUp, ", late: its sender was told that the connection is lost");
            }
            Fate::Slow if self.dice.happens(50) => {
                self.simulator.sleep(weather.slow_way(&self.dice)).await;
                let answer = self.land(&life, &sent, waiting.sender(), ", slowly");
                self.simulator.sleep(back).await;
                waiting.hear(Ok(answer));
            }
            Fate::Slow => {
                let answer = self.land(&life, &sent, waiting.sender(), ", the answer is slow");
                self.simulator.sleep(weather.slow_way(&self.dice)).await;
                waiting.hear(Ok(answer));
            }
            Fate::Refused => {
                let answer = refusal(&self.dice);
                self.tell(&life, &sent, &format!("refused with {}, not done", words(&answer)));
                waiting.hear(Ok(answer));
            }
            Fate::RefusedThoughDone => {
                let answer = self.land(&life, &sent, waiting.sender(), ", and another answer comes");
                let instead = refusal_though_done(&self.dice, sent.is_bulk(), &answer);
                self.tell(&life, &sent, &format!("answered {} all the same", words(&instead)));
                if instead.status == 413 {
                    self.witness.is_called_too_large(&sent);
                }
                self.simulator.sleep(back).await;
                waiting.hear(Ok(instead));
            }
            Fate::Cut => {
                self.land_part(
                    &life,
                    &sent,
                    sent.operations / 2,
                    waiting.sender(),
                    ", only so many, then the connection is cut",
                );
                self.simulator.sleep(back).await;
                waiting.hear(unheard());
            }
        }
    }

    /// Lets the server do a request.
    fn land(&self, life: &Life, sent: &Sent, sender: Sender, manner: &str) -> HttpAnswer {
        self.land_part(life, sent, usize::MAX, sender, manner)
    }

    /// Lets the server do the first `operations` of a bulk, or all of another request.
    fn land_part(&self, life: &Life, sent: &Sent, operations: usize, sender: Sender, manner: &str) -> HttpAnswer {
        if sent.is_bulk() && self.content_limit.is_some_and(|limit| sent.size() > limit) {
            self.tell(life, sent, "refused with 413, not done");
            return HttpAnswer::too_large();
        }
        self.witness.before(self, sent);
        let answer = self.memory.answer_part(&sent.request, operations);
        self.simulator.record((life.id, &sent.request.path, &sent.request.body, answer.status, &answer.body));
        self.tell(life, sent, &format!("{}{manner}", sent.outcome(&answer)));
        if (200..300).contains(&answer.status) {
            life.count(sent);
        }
        self.witness.done(self, life, sent, &answer, sender);
        answer
    }

    fn tell(&self, life: &Life, sent: &Sent, came: &str) {
        self.journal.tell(|| {
            let since = self.simulator.now() - sent.at;
            let ago =
                if since > Duration::from_millis(200) { format!(" (sent {since:.1?} ago)") } else { String::new() };
            let step = match sent.state {
                "-" => String::new(),
                state => format!(" [{state}]"),
            };
            let text = format!("{}{step} {}{ago} → {came}", life.name, sent.words());
            let about = match sent.names() {
                _ if sent.state != "-" && sent.is_write => About::Migration(sent.words()),
                names => About::Names(names),
            };
            (about, text)
        });
    }
}

fn words(answer: &HttpAnswer) -> String {
    format!("{}{}", answer.status, if answer.is_elasticsearch { "" } else { " without the product header" })
}

/// The connection of one life of a node to the cluster.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) network: Arc<Network>,
    pub(crate) life: Arc<Life>,
    pub(crate) environment: Environment,
}

#[async_trait]
impl Transport for Link {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, NoAnswer> {
        let (network, life) = (&self.network, &self.life);
        let timeout = self.environment.clock().sleep(request.timeout);
        let sent = Sent::new(request, network.simulator.now(), life.state());
        let fate = lock(&network.weather).fate(&network.dice, sent.operations > 1);
        network.simulator.record((life.id, fate.name()));
        network.journal.fate(sent.state, fate.name());
        network.ambush(life, &sent);
        let (sender, heard) = oneshot::channel();
        network.simulator.spawn(WORLD, network.clone().carry(life.clone(), sent, fate, Waiting(sender)).boxed());
        let kind = match select(heard, timeout).await {
            Either::Left((Ok(Ok(answer)), _)) => return Ok(answer),
            Either::Left((Ok(Err(NoAnswerKind::TimedOut)) | Err(_), timeout)) => {
                timeout.await;
                NoAnswerKind::TimedOut
            }
            Either::Left((Ok(Err(kind)), _)) => kind,
            Either::Right(_) => NoAnswerKind::TimedOut,
        };
        Err(NoAnswer { kind, source: format!("{kind:?}, says the simulated network").into() })
    }
}
