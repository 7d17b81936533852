//! Serves the sample repository of the tests until it is ended: for `tests/golden/hub/make.py`.

#[path = "../tests/support/server.rs"]
mod server;

fn main() {
    let server = server::Server::start(vec![server::sample()]);
    println!("{}", server.endpoint());
    loop {
        std::thread::park();
    }
}
