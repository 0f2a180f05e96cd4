package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair writes a self-signed certificate for name and its key.
func pair(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: privateDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func material(t *testing.T, text string) Material {
	t.Helper()
	m, err := NewMaterial(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shake does a handshake between a server with the pair and a client with c.
func shake(t *testing.T, server tls.Certificate, maxVersion uint16, c *tls.Config) error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		far, err := listener.Accept()
		if err != nil {
			return
		}
		defer far.Close()
		_ = tls.Server(far, &tls.Config{Certificates: []tls.Certificate{server}, MaxVersion: maxVersion, MinVersion: tls.VersionTLS10}).Handshake()
	}()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	err = tls.Client(near, c).Handshake()
	near.Close()
	<-done
	return err
}

func TestTLSConfigVerifiesAsItIsTold(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := pair(t, dir, "broker.test")
	otherFile, _ := pair(t, dir, "other.test")
	server, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	literal, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		tls  TLS
		host string
		max  uint16
		want string
	}{
		"own authority from a path":         {TLS{Verify: true, CA: material(t, certFile)}, "broker.test", 0, ""},
		"own authority from a reference":    {TLS{Verify: true, CA: material(t, "${file:"+certFile+"}")}, "broker.test", 0, ""},
		"own authority as a literal":        {TLS{Verify: true, CA: material(t, string(literal))}, "broker.test", 0, ""},
		"another authority is refused":      {TLS{Verify: true, CA: material(t, otherFile)}, "broker.test", 0, "unknown authority"},
		"the system's do not know it":       {TLS{Verify: true}, "broker.test", 0, "unknown authority"},
		"another name is refused":           {TLS{Verify: true, CA: material(t, certFile)}, "10.0.0.1", 0, "10.0.0.1"},
		"the expected name can be set":      {TLS{Verify: true, CA: material(t, certFile), ServerName: "broker.test"}, "10.0.0.1", 0, ""},
		"verification can be switched off":  {TLS{}, "nobody", 0, ""},
		"less than 1.2 is refused":          {TLS{Verify: true, CA: material(t, certFile)}, "broker.test", tls.VersionTLS11, "version"},
		"1.2 is refused where 1.3 is asked": {TLS{Verify: true, CA: material(t, certFile), MinVersion: TLS13}, "broker.test", tls.VersionTLS12, "version"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := test.tls.Config(test.host)
			if err != nil {
				t.Fatal(err)
			}
			err = shake(t, server, test.max, c)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("handshake: %v, want %q", err, test.want)
			}
		})
	}
}

func TestTLSConfigReadsItsFilesAfresh(t *testing.T) {
	dir := t.TempDir()
	cert, key := pair(t, dir, "a.test")
	set := TLS{Cert: material(t, cert), Key: material(t, key), Verify: true}
	first, err := set.Config("x")
	if err != nil || len(first.Certificates) != 1 {
		t.Fatalf("config %v, %v", first, err)
	}
	newCert, newKey := pair(t, t.TempDir(), "a.test")
	for from, to := range map[string]string{newCert: cert, newKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	second, err := set.Config("x")
	if err != nil || string(second.Certificates[0].Certificate[0]) == string(first.Certificates[0].Certificate[0]) {
		t.Errorf("the new certificate is not taken: %v", err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, err := set.Config("x"); err == nil || !strings.Contains(err.Error(), key) {
		t.Errorf("a key file that is gone gives %v", err)
	}
}

func TestAPairThatDoesNotBelongTogetherIsRefused(t *testing.T) {
	cert, _ := pair(t, t.TempDir(), "a.test")
	_, key := pair(t, t.TempDir(), "a.test")
	if _, err := (TLS{Cert: material(t, cert), Key: material(t, key)}).Config(""); err == nil {
		t.Error("no error")
	}
	if _, err := (TLS{Cert: material(t, cert)}).Config(""); err == nil {
		t.Error("no error for half a pair")
	}
}

func TestMaterialThatComesFromAVariableIsNotRepeated(t *testing.T) {
	t.Setenv("CONFIG_TEST_PEM", secretText)
	_, err := material(t, "${env:CONFIG_TEST_PEM}").PEM()
	if err == nil || strings.Contains(err.Error(), secretText) {
		t.Errorf("error %v", err)
	}
}
