//! The PROXY protocol v2 header that a balancer puts before a connection's first byte (PROTOCOL.md 2). Reads exactly
//! the header and not one byte more, because TLS or HTTP follows. Who may send one is not decided here.

use ppp::v2::{Addresses, Header, ParseError, Protocol};
use std::io;
use std::net::IpAddr;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The signature, version and command, family and protocol, and the length of the rest.
const FIXED_BYTES: usize = 16;

/// The longest rest that is read: addresses take 36 bytes at most, the balancer's own fields (names, TLS facts) a
/// few hundred.
const REST_LIMIT_BYTES: usize = 4096;

/// Version 2, command LOCAL: the balancer speaks for itself, for example to check whether the node is alive.
const LOCAL: u8 = 0x20;

/// A connection that does not begin with a header that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    /// The connection ended or failed first.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is not a header of version 2.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The rest is longer than any known balancer's.
    #[error("the PROXY header has {0} bytes of addresses and fields, {REST_LIMIT_BYTES} at most are read")]
    TooLong(usize),
    /// It does not name the address of a TCP client. The balancer's own address must not stand in for a phone's.
    #[error("the PROXY header names no TCP client address")]
    NoAddress,
}

/// Reads the header: the address of the client, or none when the balancer speaks for itself.
pub(super) async fn read_header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<IpAddr>, ProxyError> {
    let mut bytes = vec![0; FIXED_BYTES];
    stream.read_exact(&mut bytes).await?;
    // Parsed before the rest is awaited, so that a stranger's first bytes are refused at once.
    match Header::try_from(&bytes[..]) {
        Ok(_) | Err(ParseError::Partial(..) | ParseError::InvalidAddresses(..)) => {}
        Err(error) => return Err(error.into()),
    }
    let rest_bytes = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    if rest_bytes > REST_LIMIT_BYTES {
        return Err(ProxyError::TooLong(rest_bytes));
    }
    bytes.resize(FIXED_BYTES + rest_bytes, 0);
    stream.read_exact(&mut bytes[FIXED_BYTES..]).await?;
    if bytes[12] == LOCAL {
        return Ok(None);
    }
    let header = Header::try_from(&bytes[..])?;
    match header.addresses {
        Addresses::IPv4(of) if header.protocol == Protocol::Stream => Ok(Some(of.source_address.into())),
        Addresses::IPv6(of) if header.protocol == Protocol::Stream => Ok(Some(of.source_address.into())),
        _ => Err(ProxyError::NoAddress),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    fn read(bytes: &[u8]) -> (Result<Option<IpAddr>, ProxyError>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut rest = bytes;
        let result = runtime.block_on(read_header(&mut rest));
        (result, rest.len())
    }

    const V4: [u8; 12] = [10, 1, 1, 123, 10, 1, 1, 90, 0xC0, 0, 1, 0xBB];

    #[test]
    fn the_client_is_who_the_header_names() {
        let check = |bytes: Vec<u8>, expected: Option<&str>| {
            let (result, left) = read(&[bytes, b"GET".to_vec()].concat());
            assert_eq!(result.unwrap(), expected.map(|text| text.parse().unwrap()));
            assert_eq!(left, 3, "not one byte more than the header is read");
        };
        check(header(0x21, 0x11, &V4), Some("10.1.1.123"));
        check(header(0x21, 0x11, &[&V4[..], &[0x04, 0, 2, 0, 0]].concat()), Some("10.1.1.123"));
        let mut v6 = [0; 36];
        (v6[0], v6[1], v6[15]) = (0xFD, 0x01, 7);
        check(header(0x21, 0x21, &v6), Some("fd01::7"));
        check(header(0x20, 0x00, &[]), None);
        check(header(0x20, 0x11, &V4), None);
        check(header(0x20, 0x11, &[1, 2]), None);
    }

    #[test]
    fn anything_else_is_refused() {
        let check = |bytes: &[u8], what: &str| assert!(read(bytes).0.is_err(), "{what}");
        check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP");
        check(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", "version 1");
        check(&header(0x21, 0x11, &V4[..11]), "addresses cut short");
        check(&header(0x21, 0x11, &V4)[..20], "the connection ends in the header");
        check(&header(0x11, 0x11, &V4), "another version");
        check(&header(0x22, 0x11, &V4), "another command");
        check(&header(0x21, 0x00, &[]), "no address family");
        check(&header(0x21, 0x12, &V4), "a datagram");
        check(&header(0x21, 0x31, &[0; 216]), "a local socket");
        check(&header(0x21, 0x11, &[0; REST_LIMIT_BYTES + 1]), "too long");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(command in any::<u8>(), family in any::<u8>(), rest in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&header(command, family, &rest));
        }
    }
}
