(** * The difference of two runs, weighed by dual vectors

    Number the units of a network so that each reads earlier ones only, and let [D k] be the
    difference of two runs in unit [k]. A linear core [L] leaves the residual
    [D k - sum_{j < k} L k j * D j] of each unit.

    - [dual_identity]: for ANY numbers [a], a weighted sum [o] of the differences is the sum of [a]
      times the residuals and of the defects times the differences, where the defect of unit [j] is
      [o j + sum_{k > j} L k j * a k - a j];
    - [dual_bound]: bound (1) of docs/bound.md, section 3, from bounds of residuals and differences.

    Rests on nothing but real arithmetic. Stands behind ledger.py and [adjoint] of duals.py. *)

From Coq Require Import Reals Lra Lia List.
From Lastbit Require Import Totals.
Open Scope R_scope.

(** What unit [k] reads, through the core: [sum_{j < k} L k j * x j]. *)
Definition read_through (L : nat -> nat -> R) (x : nat -> R) (k : nat) : R :=
  over k (fun j => L k j * x j).

(** What the readers of unit [j] pass back: [sum_{j < k < n} L k j * a k]. *)
Definition pulled_back (n : nat) (L : nat -> nat -> R) (a : nat -> R) (j : nat) : R :=
  over n (fun k => if (j <? k)%nat then L k j * a k else 0).

Definition defect (n : nat) (L : nat -> nat -> R) (o a : nat -> R) (j : nat) : R :=
  o j + pulled_back n L a j - a j.

Theorem dual_identity n L o a D :
  over n (fun k => o k * D k) =
  over n (fun k => a k * (D k - read_through L D k)) + over n (fun j => defect n L o a j * D j).
Proof.
  assert (S : over n (fun k => a k * read_through L D k) =
    over n (fun j => pulled_back n L a j * D j)).
  { transitivity (over n (fun k =>
      over n (fun j => if (j <? k)%nat then L k j * a k * D j else 0))).
    - apply over_ext. intros k Hk. unfold read_through. rewrite (over_cut n k); [|lia|].
      + rewrite <- over_scale. apply over_ext. intros j Hj.
        destruct (Nat.ltb_spec j k); [ring|lia].
      + intros j Hj. destruct (Nat.ltb_spec j k); [lia|reflexivity].
    - rewrite over_swap. apply over_ext. intros j Hj. unfold pulled_back.
      rewrite Rmult_comm, <- over_scale. apply over_ext. intros k Hk.
      destruct (Nat.ltb_spec j k); ring. }
  assert (E : over n (fun k => a k * (D k - read_through L D k)) =
              over n (fun k => a k * D k) + - 1 * over n (fun k => a k * read_through L D k)).
  { rewrite <- over_scale, <- over_plus. apply over_ext. intros; ring. }
  assert (F : over n (fun j => defect n L o a j * D j) =
              over n (fun k => o k * D k) +
              (over n (fun j => pulled_back n L a j * D j) + - 1 * over n (fun k => a k * D k))).
  { rewrite <- over_scale, <- !over_plus. apply over_ext. intros. unfold defect. ring. }
  rewrite E, F, S. ring.
Qed.

(* map: a difference of two logits, bounded through any dual vectors *)
Theorem dual_bound n L o a D residual move :
  (forall k, (k < n)%nat -> Rabs (D k - read_through L D k) <= residual k) ->
  (forall k, (k < n)%nat -> Rabs (D k) <= move k) ->
  Rabs (over n (fun k => o k * D k)) <=
  over n (fun k => Rabs (a k) * residual k) + over n (fun j => Rabs (defect n L o a j) * move j).
Proof.
  intros HR HM. rewrite (dual_identity n L o a D).
  apply Rle_trans with (1 := Rabs_triang _ _). apply Rplus_le_compat.
  - apply Rle_trans with (1 := over_abs _ _). apply over_le. intros k Hk. rewrite Rabs_mult.
    apply Rmult_le_compat_l; [apply Rabs_pos|now apply HR].
  - apply Rle_trans with (1 := over_abs _ _). apply over_le. intros k Hk. rewrite Rabs_mult.
    apply Rmult_le_compat_l; [apply Rabs_pos|now apply HM].
Qed.
