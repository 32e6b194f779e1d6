// What a static Rust program does under the strict profile, and what it cannot.
use std::io::{BufRead, BufReader, Write};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    print!("{}", std::thread::spawn(|| "threads").join().unwrap());
    std::fs::write(std::path::Path::new(&args[2]).join("rust.txt"), "x").unwrap();
    print!(" | files");
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", args[1].parse::<u16>().unwrap())).unwrap();
    stream.write_all(b"ping\n").unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    print!(" | net");
    assert!(std::process::Command::new("/bin/true").status().is_err());
    print!(" | no program");
    assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_err());
    println!(" | no udp");
}
