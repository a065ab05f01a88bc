(** * The terms of a sum: exact value, magnitudes, and the bound of the rounding

    - [error c f l] is [(1 + u)^n (u (worst + products) + eta flushes)] for the [n] terms that are not
      0, if no partial sum is larger than [c], nor the whole than [f];
    - [bounded_parts]: half of all magnitudes and the whole together is such a [c].

    Rests on WorstTree.v. One more addition: Additions.v. The induction over all evaluations is in Sums.v. *)

From Flocq.Core Require Import Raux Zaux.
From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree.
Import ListNotations.
Open Scope R_scope.

Lemma u_pos : 0 < u. Proof. unfold u. apply Rinv_0_lt_compat, pow_lt; lra. Qed.
Lemma eta_pos : 0 < eta. Proof. unfold eta. apply Rinv_0_lt_compat, pow_lt; lra. Qed.

(** ** Operands that are read *)

Lemma reads_refl x : reads x x. Proof. now left. Qed.

Lemma reads_trans x y z : reads x y -> reads y z -> reads x z.
Proof.
  intros [->|[-> H]]; [easy|]. intros [->|[-> _]]; right; auto.
Qed.

Lemma reads_error x y : reads x y -> Rabs (y - x) <= eta.
Proof.
  intros [->|[-> H]]; [rewrite Rminus_diag_eq, Rabs_R0 by easy; apply Rlt_le, eta_pos|].
  now rewrite Rminus_0_l, Rabs_Ropp.
Qed.

Lemma reads_abs x y : reads x y -> Rabs y <= Rabs x.
Proof. intros [->|[-> _]]; [lra|]. rewrite Rabs_R0. apply Rabs_pos. Qed.

(** A product of operands that are read: off by [eta] times the other operand. *)
Lemma reads_product w x w' x' : reads w w' -> reads x x' ->
  Rabs (w' * x' - w * x) <= eta * (Rabs w + Rabs x) /\ Rabs (w' * x') <= Rabs (w * x).
Proof.
  intros Hw Hx. split.
  - assert (He := eta_pos). assert (Pw := Rabs_pos w). assert (Px := Rabs_pos x).
    destruct Hw as [->|[-> Hw]].
    + replace (w * x' - w * x) with (w * (x' - x)) by ring. rewrite Rabs_mult.
      assert (K := reads_error _ _ Hx).
      assert (Rabs w * Rabs (x' - x) <= Rabs w * eta) by now apply Rmult_le_compat_l.
      assert (0 <= eta * Rabs x) by (apply Rmult_le_pos; lra). lra.
    + rewrite Rmult_0_l, Rminus_0_l, Rabs_Ropp, Rabs_mult.
      assert (Rabs w * Rabs x <= eta * Rabs x) by now apply Rmult_le_compat_r.
      assert (0 <= eta * Rabs w) by (apply Rmult_le_pos; lra). lra.
  - rewrite !Rabs_mult. apply Rmult_le_compat; try apply Rabs_pos; now apply reads_abs.
Qed.

(** ** Exact sum, magnitudes, and the bound *)

Definition magnitude (t : term) : R := Rabs (exact t).
Definition exact_sum (l : list term) : R := total (map exact l).
Definition size (l : list term) : R := total (map magnitude l).

Definition nonzero (m : R) : bool := if Req_EM_T m 0 then false else true.
Definition live (l : list term) : list R := filter nonzero (map magnitude l).

(** Products that are rounded: those with a power of two are not. *)
Definition scales (w : R) : bool := if Req_EM_T (Rabs w) (bpow radix2 (mag radix2 w - 1)) then true else false.

Definition products_of (t : term) : R :=
  match t with Product w _ => if scales w then 0 else magnitude t | Constant _ => 0 end.
Definition flush_of (t : term) : R :=
  match t with
  | Product w x => if nonzero (magnitude t) then 2 * (Rabs w + Rabs x + 1) else 0
  | Constant _ => 0
  end.

Lemma scales_power w : scales w = true -> power_of_two w.
Proof.
  unfold scales. destruct Req_EM_T as [E|]; [intros _|easy]. exists (mag radix2 w - 1)%Z. rewrite E. now rewrite bpow_powerRZ.
Qed.

Lemma power_scales w e : Rabs w = bpow radix2 e -> scales w = true.
Proof.
  intros E. unfold scales. rewrite <- mag_abs, E, mag_bpow. replace (e + 1 - 1)%Z with e by ring.
  destruct Req_EM_T; [reflexivity|congruence].
Qed.

(** First-order error, then the error with its amplification. *)
Definition first_order (c f : R) (l : list term) : R :=
  u * (worst c f (live l) + total (map products_of l)) +
  eta * (total (map flush_of l) + 4 * INR (pred (length (live l)))).

Definition error (c f : R) (l : list term) : R := (1 + u) ^ length (live l) * first_order c f l.

Lemma magnitude_pos t : 0 <= magnitude t. Proof. apply Rabs_pos. Qed.

Lemma live_app l1 l2 : live (l1 ++ l2) = live l1 ++ live l2.
Proof. unfold live. now rewrite map_app, filter_app. Qed.

Lemma live_nonneg l : nonneg (live l).
Proof.
  apply Forall_forall. intros m H. apply filter_In in H. destruct H as [H _].
  apply in_map_iff in H. destruct H as [t [<- _]]. apply magnitude_pos.
Qed.

Lemma nonzero_0 m : nonzero m = false <-> m = 0.
Proof. unfold nonzero. now destruct Req_EM_T. Qed.

Lemma magnitude_0 t : magnitude t = 0 <-> vanishes t.
Proof.
  unfold magnitude, vanishes. split; [|intros ->; apply Rabs_R0].
  intros H. destruct (Req_dec (exact t) 0) as [E|E]; [exact E|]. now apply Rabs_no_R0 in E.
Qed.

Lemma nonzero_product w x : w * x <> 0 -> nonzero (magnitude (Product w x)) = true.
Proof.
  intros N. destruct (nonzero (magnitude (Product w x))) eqn:Z; [reflexivity|].
  now apply nonzero_0, magnitude_0 in Z.
Qed.

Lemma live_vanish l : all_vanish l <-> live l = [].
Proof.
  induction l as [|t l IH]; [split; [easy|constructor]|]. unfold live; simpl. fold (live l).
  destruct (nonzero (magnitude t)) eqn:E.
  - split; [|easy]. intros H. inversion_clear H. apply magnitude_0, nonzero_0 in H0. congruence.
  - apply nonzero_0, magnitude_0 in E. rewrite <- IH. split; [now inversion 1|now constructor].
Qed.

Lemma total_live l : total (live l) = size l.
Proof.
  unfold live, size. induction (map magnitude l) as [|m k IH]; [reflexivity|]. simpl.
  destruct (nonzero m) eqn:E; simpl; [now rewrite IH|]. apply nonzero_0 in E. rewrite IH, E. lra.
Qed.

Lemma size_pos l : 0 <= size l. Proof. rewrite <- total_live. apply total_pos, live_nonneg. Qed.

Lemma exact_sum_size l : Rabs (exact_sum l) <= size l.
Proof.
  unfold exact_sum, size. induction l as [|t l IH]; simpl; [rewrite Rabs_R0; lra|].
  apply Rle_trans with (1 := Rabs_triang _ _). unfold magnitude at 1. lra.
Qed.

Lemma vanish_sums l : all_vanish l -> exact_sum l = 0 /\ total (map products_of l) = 0.
Proof.
  unfold exact_sum. induction 1 as [|t l H _ [IH1 IH2]]; simpl; [lra|]. rewrite IH1, IH2.
  split; [rewrite H; lra|]. destruct t; simpl; [|lra]. apply magnitude_0 in H. destruct scales; lra.
Qed.

Lemma products_pos l : 0 <= total (map products_of l).
Proof.
  apply total_pos, Forall_forall. intros m H. apply in_map_iff in H.
  destruct H as [[w x|b] [<- _]]; simpl; [destruct scales|]; try lra. apply magnitude_pos.
Qed.

Lemma flush_pos l : 0 <= total (map flush_of l).
Proof.
  apply total_pos, Forall_forall. intros m H. apply in_map_iff in H. destruct H as [[w x|b] [<- _]]; simpl.
  - destruct nonzero; generalize (Rabs_pos w) (Rabs_pos x); lra.
  - lra.
Qed.

Lemma pow_1u n : 1 <= (1 + u) ^ n. Proof. apply pow_R1_Rle. generalize u_pos; lra. Qed.

Lemma amplify n k e : (n <= k)%nat -> 0 <= e -> (1 + u) ^ n * e <= (1 + u) ^ k * e.
Proof.
  intros H He. apply Rmult_le_compat_r; [exact He|]. apply Rle_pow; [generalize u_pos; lra|exact H].
Qed.

Lemma size_app l1 l2 : size (l1 ++ l2) = size l1 + size l2.
Proof. unfold size. now rewrite map_app, total_app. Qed.

Lemma exact_sum_app l1 l2 : exact_sum (l1 ++ l2) = exact_sum l1 + exact_sum l2.
Proof. unfold exact_sum. now rewrite map_app, total_app. Qed.

Lemma sums_perm l l' : Permutation l l' -> exact_sum l = exact_sum l' /\ size l = size l'.
Proof. intros P. split; now apply total_perm, Permutation_map. Qed.

(** ** Partial sums *)

(** No sum of some of the terms [l] is larger than [c]. *)
Definition bounded (c : R) (l : list term) : Prop :=
  forall s t, Permutation (s ++ t) l -> Rabs (exact_sum s) <= c.

Lemma bounded_perm c l l' : Permutation l l' -> bounded c l -> bounded c l'.
Proof. intros P B s t Q. apply (B s t). now rewrite Q, P. Qed.

Lemma bounded_app c l1 l2 : bounded c (l1 ++ l2) -> bounded c l1 /\ bounded c l2.
Proof.
  intros B. split; intros s t Q.
  - apply (B s (t ++ l2)). now rewrite app_assoc, Q.
  - apply (B s (t ++ l1)). rewrite app_assoc, Q. apply Permutation_app_comm.
Qed.

Lemma bounded_all c l : bounded c l -> Rabs (exact_sum l) <= c.
Proof. intros B. apply (B l []). now rewrite app_nil_r. Qed.

Lemma bounded_pos c l : bounded c l -> 0 <= c.
Proof. intros B. apply Rle_trans with (2 := bounded_all c l B), Rabs_pos. Qed.

(** What a partial sum leaves out of the whole, [f] at most, has only the magnitudes that it has not. *)
Theorem bounded_parts c f l : Rabs (exact_sum l) <= f -> size l + f <= 2 * c -> bounded c l.
Proof.
  intros Hf Hc s t P. destruct (sums_perm _ _ P) as [E1 E2]. rewrite exact_sum_app in E1. rewrite size_app in E2.
  assert (S := exact_sum_size s). assert (T := exact_sum_size t).
  assert (Rabs (exact_sum s) <= Rabs (exact_sum l) + Rabs (exact_sum t)).
  { replace (exact_sum s) with (exact_sum l + - exact_sum t) by lra. apply Rle_trans with (1 := Rabs_triang _ _).
    rewrite Rabs_Ropp. lra. }
  lra.
Qed.
