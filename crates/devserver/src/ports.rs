//! Chooses free ports for the nodes.

use std::net::{Ipv4Addr, TcpListener};

use crate::{Error, ErrorKind, Result};

/// Fails if no server could listen on the port now.
pub(super) fn require_free(port: u16) -> Result<()> {
    if is_free(port) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, format!("port {port} is in use by another process")).with_hint(
        "stop that process, or have other ports chosen: `saved-objects dev down`, then `dev up` without --port",
    ))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Returns the first `count` free ports from `first` on that are not in `spoken_for`.
pub(super) fn free_from(first: u16, count: usize, spoken_for: &[u16]) -> Result<Vec<u16>> {
    let free = |port: &u16| !spoken_for.contains(port) && is_free(*port);
    let ports: Vec<u16> = (first..=u16::MAX).filter(free).take(count).collect();
    if ports.len() < count {
        return Err(Error::new(ErrorKind::Unavailable, format!("no {count} free ports from {first} on")));
    }
    Ok(ports)
}

/// Returns `count` ports from `first` on. All of them must be free, because the user asked for them.
pub(super) fn exactly_from(first: u16, count: usize) -> Result<Vec<u16>> {
    let ports: Vec<u16> = (first..=u16::MAX).take(count).collect();
    if ports.len() < count {
        return Err(Error::invalid(format!("there are no {count} ports from {first} on"), "choose a lower --port"));
    }
    ports.iter().try_for_each(|port| require_free(*port))?;
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        (listener, port)
    }

    #[test]
    fn a_taken_port_is_skipped() {
        let (_listener, taken) = listener();
        let ports = free_from(taken, 3, &[]).expect("ports");
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port > taken));
        assert!(ports.is_sorted());
        let others = free_from(taken, 3, &ports).expect("ports");
        assert!(others.iter().all(|port| !ports.contains(port)));
    }

    #[test]
    fn a_taken_port_that_was_asked_for_is_an_error() {
        let (_listener, taken) = listener();
        let error = exactly_from(taken, 1).expect_err("taken");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains(&taken.to_string()));
    }

    #[test]
    fn ports_end_at_65535() {
        assert_eq!(exactly_from(65535, 2).expect_err("too few").kind(), ErrorKind::Invalid);
        assert_eq!(free_from(65535, 2, &[]).expect_err("too few").kind(), ErrorKind::Unavailable);
    }
}
