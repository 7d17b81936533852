//! Who watches files come.

/// Told how far a download is; called from several threads.
pub trait Observer: Sync {
    /// So many files are to come, of so many bytes together.
    fn begin(&self, _files: usize, _bytes: u64) {}
    /// So many more bytes are here.
    fn advance(&self, _bytes: u64) {}
    /// So many bytes have to come anew.
    fn retreat(&self, _bytes: u64) {}
    /// All are here.
    fn end(&self) {}
    /// Something worth a line.
    fn note(&self, _text: &str) {}
    /// Whether to leave off; asked between pieces.
    fn stopped(&self) -> bool {
        false
    }
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
