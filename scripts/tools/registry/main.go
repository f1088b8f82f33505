// registry FOLDER: the OCI registry that the tests push charts to, on https://127.0.0.1 with FOLDER/tls.crt and tls.key. It prints its
// address. The registry is Distribution's own; before it stands what public ones have: nothing without a token, which /token hands out
// for a name and a password (robot, secret-word). FOLDER/basic, if it is there, makes it ask for the password itself.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/sirupsen/logrus"
)

type door struct {
	inside  http.Handler
	folder  string
	address string
	mutex   sync.Mutex
	tokens  map[string]string // to the scope that it was asked for
}

func isRobot(request *http.Request) bool {
	user, password, given := request.BasicAuth()
	return given && user == "robot" && password == "secret-word"
}

func (d *door) token(answer http.ResponseWriter, request *http.Request) {
	if !isRobot(request) {
		answer.WriteHeader(http.StatusUnauthorized)
		return
	}
	bytes := make([]byte, 16)
	rand.Read(bytes)
	token := hex.EncodeToString(bytes)
	d.mutex.Lock()
	d.tokens[token] = request.URL.Query().Get("scope")
	d.mutex.Unlock()
	json.NewEncoder(answer).Encode(map[string]any{"token": token, "expires_in": 300})
}

// "repository:charts/web:pull" of /v2/charts/web/manifests/1.0.0.
func scopeOf(request *http.Request) string {
	name := strings.TrimPrefix(request.URL.Path, "/v2/")
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/"} {
		name, _, _ = strings.Cut(name, part)
	}
	if request.Method == http.MethodGet || request.Method == http.MethodHead {
		return "repository:" + name + ":pull"
	}
	return "repository:" + name + ":pull,push"
}

func (d *door) mayEnter(request *http.Request) bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	token, _ := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	scope, known := d.tokens[token]
	return known && (request.URL.Path == "/v2/" || strings.HasPrefix(scope, strings.TrimSuffix(scopeOf(request), ",push")))
}

// Registries limit the pages of their lists; this one to two, so that a test needs no thousand.
func shorten(request *http.Request) {
	query := request.URL.Query()
	if strings.HasSuffix(request.URL.Path, "/tags/list") {
		query.Set("n", "2")
		request.URL.RawQuery = query.Encode()
	}
}

func (d *door) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	_, err := os.Stat(filepath.Join(d.folder, "basic"))
	basic := err == nil
	shorten(request)
	switch {
	case request.URL.Path == "/token":
		d.token(answer, request)
	case basic && isRobot(request), !basic && d.mayEnter(request):
		d.inside.ServeHTTP(answer, request)
	case basic:
		answer.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		answer.WriteHeader(http.StatusUnauthorized)
	default:
		challenge := fmt.Sprintf(`Bearer realm="https://%s/token",service="registry",scope="%s"`, d.address, scopeOf(request))
		answer.Header().Set("WWW-Authenticate", challenge)
		answer.WriteHeader(http.StatusUnauthorized)
	}
}

func main() {
	folder := os.Args[1]
	logrus.SetLevel(logrus.FatalLevel)
	config := &configuration.Configuration{Storage: configuration.Storage{"inmemory": nil}}
	config.Log.Level = "fatal"
	config.HTTP.Secret = "not needed by one process"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	address := listener.Addr().String()
	fmt.Println(address)
	handler := &door{inside: handlers.NewApp(context.Background(), config), folder: folder, address: address, tokens: map[string]string{}}
	panic(http.ServeTLS(listener, handler, filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")))
}
