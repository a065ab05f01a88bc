(** * The theorem of a small network with every operator

    [layers] and [hints] in Data.v are literals that `make theorem-small` writes from an ONNX file. The
    checker derives a certificate from the hints, inside Coq, and decides it; [check_sound] does the
    rest. Nothing about this network is believed but that [layers] is the file. *)

From Coq Require Import ZArith List.
From Lastbit Require Import Statement checker.Program checker.Numbers checker.Annotation checker.Sound.
From Lastbit Require Import checker.Expansion small.Data.

Definition certificate : cert := Eval vm_compute in derive (expand layers) hints.

Theorem accepted : check (expand layers) certificate = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

(** For all images that differ in the last bit of one pixel, all allowed executions, every class. *)
Theorem small_bound : always_finite (network_of (expand layers)) /\
  last_bit_bound (network_of (expand layers)) (real (c_upper certificate)).
Proof. exact (check_sound _ _ accepted). Qed.

Print small_bound.
Print Assumptions small_bound.

(** Units and pixels; U and R, rounded up, in units of 10^-12. *)
Eval vm_compute in (length (cunits (expand layers)), cpixels (expand layers)).
Eval vm_compute in (ceil_div (c_upper certificate * 10 ^ 12)%Z one, ceil_div (c_bound certificate * 10 ^ 12)%Z one).
