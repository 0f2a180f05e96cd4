// Package kubernetes holds manifests, and the test that Kubernetes' own types
// take them. It is a module of its own so that the bridge needs none of these.
// It has no order to keep, loses nothing and blocks nowhere.
package kubernetes

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// manifests decodes every file that kustomization.yaml lists, by kind.
func manifests(t *testing.T) map[string]any {
	t.Helper()
	var list struct {
		metav1.TypeMeta `json:",inline"`
		Resources       []string            `json:"resources"`
		Images          []map[string]string `json:"images"`
	}
	read(t, "kustomization.yaml", &list)
	files, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]any{}
	for _, file := range files {
		if file == "kustomization.yaml" {
			continue
		}
		if !slices.Contains(list.Resources, file) {
			t.Errorf("kustomization.yaml does not list %s", file)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(text, &kind); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		into := map[string]any{
			"v1/ConfigMap": &corev1.ConfigMap{}, "v1/Secret": &corev1.Secret{}, "v1/Service": &corev1.Service{},
			"v1/PersistentVolumeClaim": &corev1.PersistentVolumeClaim{}, "apps/v1/Deployment": &appsv1.Deployment{},
			"policy/v1/PodDisruptionBudget": &policyv1.PodDisruptionBudget{},
		}[kind.APIVersion+"/"+kind.Kind]
		if into == nil {
			t.Fatalf("%s: no type for %s %s", file, kind.APIVersion, kind.Kind)
		}
		read(t, file, into)
		found[kind.Kind] = into
	}
	if len(found) != len(list.Resources) {
		t.Fatalf("%d manifests, %d are listed", len(found), len(list.Resources))
	}
	return found
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func TestAMisspeltFieldIsFound(t *testing.T) {
	if err := yaml.UnmarshalStrict([]byte("spec: {replica: 1}"), &appsv1.Deployment{}); err == nil {
		t.Fatal("a field that Kubernetes does not know was taken")
	}
}

func TestManifestsFitTogether(t *testing.T) {
	all := manifests(t)
	deployment := all["Deployment"].(*appsv1.Deployment)
	pod := deployment.Spec.Template
	labels := pod.Labels
	selects := func(what string, selector map[string]string) {
		t.Helper()
		if len(selector) == 0 {
			t.Errorf("%s selects everything", what)
		}
		for k, v := range selector {
			if labels[k] != v {
				t.Errorf("%s selects %s=%s, the pod has %q", what, k, v, labels[k])
			}
		}
	}
	selects("the Deployment", deployment.Spec.Selector.MatchLabels)
	selects("the Service", all["Service"].(*corev1.Service).Spec.Selector)
	selects("the PodDisruptionBudget", all["PodDisruptionBudget"].(*policyv1.PodDisruptionBudget).Spec.Selector.MatchLabels)

	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
		switch {
		case v.ConfigMap != nil && v.ConfigMap.Name != all["ConfigMap"].(*corev1.ConfigMap).Name:
			t.Errorf("no ConfigMap %s", v.ConfigMap.Name)
		case v.Secret != nil && v.Secret.SecretName != all["Secret"].(*corev1.Secret).Name:
			t.Errorf("no Secret %s", v.Secret.SecretName)
		case v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName != all["PersistentVolumeClaim"].(*corev1.PersistentVolumeClaim).Name:
			t.Errorf("no PersistentVolumeClaim %s", v.PersistentVolumeClaim.ClaimName)
		}
	}
	container := pod.Spec.Containers[0]
	for _, m := range container.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("no volume %s", m.Name)
		}
	}
	for _, p := range []*corev1.Probe{container.StartupProbe, container.LivenessProbe, container.ReadinessProbe} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Port.StrVal != container.Ports[0].Name {
			t.Errorf("the probe %v does not ask the port %s", p, container.Ports[0].Name)
		}
	}
}

func TestThereIsOneBridgeWithoutPrivileges(t *testing.T) {
	deployment := manifests(t)["Deployment"].(*appsv1.Deployment)
	if *deployment.Spec.Replicas != 1 || deployment.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("%d replicas by %s; expected 1 by Recreate", *deployment.Spec.Replicas, deployment.Spec.Strategy.Type)
	}
	pod := deployment.Spec.Template.Spec
	if *pod.TerminationGracePeriodSeconds < 35 {
		t.Errorf("the bridge needs up to 30 s for its stop, the pod gets %d", *pod.TerminationGracePeriodSeconds)
	}
	c := pod.Containers[0]
	if !*pod.SecurityContext.RunAsNonRoot || !*c.SecurityContext.ReadOnlyRootFilesystem || *c.SecurityContext.AllowPrivilegeEscalation {
		t.Error("the container has more rights than it needs")
	}
	if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
		t.Error("the container has no resource limits")
	}
}
