// Judges objects with kstatus itself: the oracle of common/data/health.c.
//
//	kstatus FILE...   YAML streams of objects
//
// Output: lines of JSON {"object": …, "status": "Current", "message": "…"}; where kstatus fails, the
// status is Unknown and the message left out.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type result struct {
	Object  map[string]any `json:"object"`
	Status  string         `json:"status"`
	Message *string        `json:"message,omitempty"`
}

func judge(object map[string]any) (out result) {
	out = result{Object: object, Status: "Unknown"}
	defer func() { _ = recover() }() // kstatus panics on malformed containerStatuses
	judged, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err == nil {
		out.Status = string(judged.Status)
		out.Message = &judged.Message
	}
	return out
}

func main() {
	for _, name := range os.Args[1:] {
		file, err := os.Open(name)
		if err != nil {
			panic(err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(file, 4096)
		for {
			ext := runtime.RawExtension{}
			if err := decoder.Decode(&ext); err == io.EOF {
				break
			} else if err != nil {
				panic(err)
			}
			object := map[string]any{}
			if err := utiljson.Unmarshal(ext.Raw, &object); err != nil {
				panic(fmt.Errorf("%w: %s", err, ext.Raw))
			}
			var line bytes.Buffer
			encoder := json.NewEncoder(&line)
			encoder.SetEscapeHTML(false)
			if err := encoder.Encode(judge(object)); err != nil {
				panic(err)
			}
			os.Stdout.Write(line.Bytes())
		}
	}
}
