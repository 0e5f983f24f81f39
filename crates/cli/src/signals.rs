//! Ctrl-C and SIGTERM: the first one asks the command to end cleanly; a second one ends it at once.

use std::pin::pin;

use futures::future::{Either, select};

use crate::exit::{Exit, Signal};
use crate::output::Output;
use saved_objects::environment::Stop;
use saved_objects::{Error, ErrorKind, Result};

/// Runs a command and requests `stop` at the first signal. Also returns the signal, if there was one. A second signal
/// ends the process at once.
pub(super) async fn run(
    command: impl Future<Output = Result<Exit>>,
    stop: &Stop,
    output: Output,
) -> (Result<Exit>, Option<Signal>) {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return (Err(error), None),
    };
    let command = pin!(command);
    let (command, first) = match select(command, pin!(signals.next())).await {
        Either::Left((ended, _)) => return (ended, None),
        Either::Right((first, command)) => (command, first),
    };
    stop.request();
    output.aside().say(format!("{first}: what is under way is ended or undone; once more ends at once"));
    match select(command, pin!(signals.next())).await {
        Either::Left((ended, _)) => (ended, Some(first)),
        Either::Right((second, _)) => (Ok(Exit::Stopped(second)), Some(second)),
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(unheard);
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Signal {
        match select(pin!(self.interrupt.recv()), pin!(self.terminate.recv())).await {
            Either::Left(_) => Signal::Interrupt,
            Either::Right(_) => Signal::Terminate,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
fn unheard(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("signals cannot be heard: {error}")).with_source(error)
}
