# The store of compose.yaml: TLS 1.3 alone, nothing on disk. For a demonstration: what it holds is gone with the container.
storage "inmem" {}

listener "tcp" {
  address         = "0.0.0.0:8200"
  tls_cert_file   = "/run/server/server.pem"
  tls_key_file    = "/run/server/server.key"
  tls_min_version = "tls13"
}

api_addr = "https://openbao:8200"
