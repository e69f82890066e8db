package manifests

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// The fields of prometheus-operator's resources that this project uses, by the names in its API reference
// (monitoring.coreos.com/v1); a strict decode finds what is spelt otherwise.
type (
	prometheusRule struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              ruleFile `json:"spec"`
	}

	// ruleFile is also what a rules file of Prometheus itself looks like.
	ruleFile struct {
		Groups []ruleGroup `json:"groups"`
	}

	ruleGroup struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	}

	rule struct {
		Alert       string            `json:"alert"`
		Expr        string            `json:"expr"`
		For         string            `json:"for,omitempty"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	}

	podMonitor struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Selector            metav1.LabelSelector `json:"selector"`
			PodMetricsEndpoints []struct {
				Port     string `json:"port"`
				Path     string `json:"path"`
				Interval string `json:"interval"`
			} `json:"podMetricsEndpoints"`
		} `json:"spec"`
	}
)
