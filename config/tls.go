package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
)

// TLSVersion is the lowest TLS version that is spoken.
type TLSVersion string

// TLS versions.
const (
	TLS12 TLSVersion = "1.2"
	TLS13 TLSVersion = "1.3"
)

// TLS says how one side is verified and how the bridge proves itself to it.
type TLS struct {
	CA         Material   `mapstructure:"ca"`          // certificates that are trusted; empty: the system's
	Cert       Material   `mapstructure:"cert"`        // the bridge's own certificate chain
	Key        Material   `mapstructure:"key"`         // and its key
	ServerName string     `mapstructure:"server_name"` // name expected in the certificate; empty: the host's
	Verify     bool       `mapstructure:"verify"`      // check the certificate's chain and name
	MinVersion TLSVersion `mapstructure:"min_version"` // 1.2 or 1.3
}

// ServerTLS is how a listener of the bridge proves itself to those who connect.
type ServerTLS struct {
	Cert       Material   `mapstructure:"cert"` // certificate chain; empty: no TLS
	Key        Material   `mapstructure:"key"`
	MinVersion TLSVersion `mapstructure:"min_version"` // 1.2 or 1.3
}

// IsSet reports whether TLS is spoken at all.
func (t ServerTLS) IsSet() bool { return t.Cert.IsSet() || t.Key.IsSet() }

// Config reads the files afresh.
func (t ServerTLS) Config() (*tls.Config, error) {
	return TLS{Cert: t.Cert, Key: t.Key, MinVersion: t.MinVersion, Verify: true}.Config("")
}

// Material is PEM: the path of a file, a reference to it, or the text itself.
// It is read again at each use. A literal text prints as <secret>.
type Material struct{ source Secret }

const pemStart = "-----BEGIN "

// NewMaterial makes a Material of a path, of a text with references, or of PEM.
func NewMaterial(text string) (Material, error) {
	s, err := NewSecret(text)
	return Material{s}, err
}

// IsSet reports whether there is anything to read.
func (m Material) IsSet() bool { return m.source.IsSet() }

// PEM reads the material now.
func (m Material) PEM() ([]byte, error) {
	text, err := m.source.Resolve()
	if err != nil {
		return nil, err
	}
	if strings.Contains(text, pemStart) {
		return []byte(text), nil
	}
	pem, err := readSmallFile(text)
	if err != nil {
		return nil, &ReferenceError{Reference: m.String(), Err: err}
	}
	return []byte(pem), nil
}

// files lists the files that the material is read from.
func (m Material) files() []string {
	files := m.source.files()
	if len(files) > 0 || !m.IsSet() {
		return files
	}
	text, err := m.source.Resolve()
	if err != nil || strings.Contains(text, pemStart) {
		return nil
	}
	return []string{text}
}

// String gives the path or the references; <secret> for a literal PEM.
func (m Material) String() string {
	if !m.IsSet() {
		return ""
	}
	var b strings.Builder
	for _, p := range m.source.parts() {
		if p.kind == refLiteral && !strings.Contains(p.text, pemStart) {
			b.WriteString(p.text)
			continue
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// Format prints the same as String for every verb and flag.
func (m Material) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, m.String()) }

// MarshalText gives the same as String, also for JSON.
func (m Material) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// Config reads the files afresh and gives the settings for one connection.
// serverName is the host that is dialled; TLS.ServerName goes before it.
func (t TLS) Config(serverName string) (*tls.Config, error) {
	c := &tls.Config{
		ServerName:         serverName,
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: !t.Verify,
	}
	if t.ServerName != "" {
		c.ServerName = t.ServerName
	}
	if t.MinVersion == TLS13 {
		c.MinVersion = tls.VersionTLS13
	}
	if t.CA.IsSet() {
		pool, err := t.pool()
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		c.RootCAs = pool
	}
	if t.Cert.IsSet() || t.Key.IsSet() {
		cert, err := t.certificate()
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

var (
	errNoCertificate = errors.New("no certificate in it (expected PEM)")
	errHalfPair      = errors.New("cert and key are only of use together")
)

func (t TLS) pool() (*x509.CertPool, error) {
	pem, err := t.CA.PEM()
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errNoCertificate
	}
	return pool, nil
}

func (t TLS) certificate() (tls.Certificate, error) {
	if !t.Cert.IsSet() || !t.Key.IsSet() {
		return tls.Certificate{}, errHalfPair
	}
	cert, err := t.Cert.PEM()
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cert: %w", err)
	}
	key, err := t.Key.PEM()
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cert and key: %w", err)
	}
	return pair, nil
}
