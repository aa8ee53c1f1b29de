//! The security catalog (`.cat`) of an update: enough of it to know which digests it vouches for.
//! Nothing here verifies a signature, and nothing here is a reason to refuse a package.

/// A digest that a catalog lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogDigest {
    /// The object identifier of the algorithm, such as `1.3.14.3.2.26` (SHA-1).
    pub algorithm: String,
    /// The digest's bytes.
    pub value: Vec<u8>,
}

/// What a catalog says, unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogFacts {
    /// The digests of its members, in its order.
    pub digests: Vec<CatalogDigest>,
}

/// What the catalog in `bytes` says; `None` when it cannot be read.
pub fn read(bytes: &[u8]) -> Option<CatalogFacts> {
    let _ = bytes;
    None
}
