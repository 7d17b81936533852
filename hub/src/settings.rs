//! What the environment says of the hub: the variables of Python's huggingface_hub, read as it reads them.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Error, Result};

/// Where the hub is, where its files are kept, and who asks.
#[derive(Clone)]
pub struct Settings {
    /// Address, without a slash at its end.
    pub endpoint: String,
    /// The folder of the cache.
    pub cache: PathBuf,
    /// Sent to the hub, to no other host.
    pub token: Option<String>,
    /// Ask nobody.
    pub offline: bool,
    /// Before a request is made again for the first time; doubled each time.
    pub backoff: Duration,
}

impl std::fmt::Debug for Settings {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "set"))
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads the environment of the process.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn from_env() -> Result<Self> {
        Self::read(&|name| std::env::var(name).ok())
    }

    /// Reads variables: `HF_ENDPOINT`; `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `hub` in `HF_HOME`,
    /// which is `huggingface` in `XDG_CACHE_HOME` or `~/.cache`; `HF_TOKEN`, else `HUGGING_FACE_HUB_TOKEN`,
    /// else the file at `HF_TOKEN_PATH` or `token` in `HF_HOME`, unless `HF_HUB_DISABLE_IMPLICIT_TOKEN`;
    /// `HF_HUB_OFFLINE`, else `TRANSFORMERS_OFFLINE`.
    ///
    /// # Errors
    /// An endpoint that is no address, or a cache that nothing says the place of.
    pub fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let said = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let yes = |name: &str| said(name).is_some_and(|value| is_true(&value));
        let endpoint = said("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let endpoint = endpoint.trim().trim_end_matches('/').to_owned();
        if !(endpoint.starts_with("http://") || endpoint.starts_with("https://")) {
            let expected = "an address that begins with http:// or https://";
            return Err(Error::Environment { name: "HF_ENDPOINT", expected, found: endpoint });
        }
        let user = said("HOME").or_else(|| said("USERPROFILE")).map(PathBuf::from);
        let path = |name: &str| said(name).map(|path| expanded(&path, user.as_ref()));
        let home = path("HF_HOME").or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| Some(user.as_ref()?.join(".cache")));
            Some(caches?.join("huggingface"))
        });
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.or_else(|| Some(home.as_ref()?.join("hub"))).ok_or(Error::Environment {
            name: "HF_HOME",
            expected: "the folder of the cache where there is no HOME",
            found: String::new(),
        })?;
        let file = path("HF_TOKEN_PATH").or_else(|| Some(home?.join("token")));
        let token = said("HF_TOKEN").or_else(|| said("HUGGING_FACE_HUB_TOKEN"));
        let implicit = file.filter(|_| !yes("HF_HUB_DISABLE_IMPLICIT_TOKEN"));
        let token = token.or_else(|| std::fs::read_to_string(implicit?).ok());
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let offline = said("HF_HUB_OFFLINE").or_else(|| said("TRANSFORMERS_OFFLINE"));
        let offline = offline.is_some_and(|value| is_true(&value));
        Ok(Self { endpoint, cache, token, offline, backoff: Duration::from_millis(500) })
    }
}

fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.trim().to_uppercase().as_str())
}

/// `~` at the beginning is the user's folder.
fn expanded(path: &str, user: Option<&PathBuf>) -> PathBuf {
    match (path.strip_prefix("~/"), user) {
        (Some(rest), Some(user)) => user.join(rest),
        _ => path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(&|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        let cases: [(&[(&str, &str)], &str); 5] = [
            (&[("HOME", "/u")], "/u/.cache/huggingface/hub"),
            (&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HOME", "/u"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/hf")], "/u/hf/hub"),
            (&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/old"),
            (&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/new")], "/new"),
        ];
        for (variables, cache) in cases {
            assert_eq!(read(variables).unwrap().cache, PathBuf::from(cache));
        }
        assert!(read(&[]).unwrap_err().to_string().contains("HF_HOME"));
    }

    #[test]
    fn a_token_comes_from_the_environment_or_a_file() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "of-the-file\n").unwrap();
        std::fs::write(home.path().join("other"), "of-the-other").unwrap();
        let (home, other) = (home.path().to_str().unwrap(), home.path().join("other"));
        let token = |more: &[(&str, &str)]| {
            let all: Vec<_> = [("HF_HOME", home)].iter().chain(more).copied().collect();
            read(&all).unwrap().token
        };
        assert_eq!(token(&[]).as_deref(), Some("of-the-file"));
        assert_eq!(token(&[("HF_TOKEN_PATH", other.to_str().unwrap())]).as_deref(), Some("of-the-other"));
        assert_eq!(token(&[("HF_HUB_CACHE", "/elsewhere")]).as_deref(), Some("of-the-file"));
        assert_eq!(token(&[("HF_TOKEN", " said ")]).as_deref(), Some("said"));
        assert_eq!(token(&[("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        let shown = format!("{:?}", read(&[("HF_HOME", home), ("HF_TOKEN", "secret")]).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn offline_and_the_endpoint_are_read_as_python_reads_them() {
        let with = |name, value| read(&[("HF_HOME", "/h"), (name, value)]);
        for (value, offline) in [("1", true), ("yes", true), ("True", true), ("0", false), ("", false)] {
            assert_eq!(with("HF_HUB_OFFLINE", value).unwrap().offline, offline, "{value}");
        }
        assert!(with("TRANSFORMERS_OFFLINE", "ON").unwrap().offline);
        assert_eq!(with("HF_ENDPOINT", "http://mirror:8080/").unwrap().endpoint, "http://mirror:8080");
        assert!(with("HF_ENDPOINT", "mirror").unwrap_err().is_input());
    }
}
