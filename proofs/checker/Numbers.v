(** * The checker's numbers, as real numbers

    - [real z] is [z / 2^100]; [up_real], [ceil_div_real]: what the two roundings do;
    - [num], [key]: units are numbered from 1 in Asked.v, from 0 in Statement.v.

    Rests on Program.v and Totals.v. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Totals checker.Program.
Import ListNotations.
Open Scope R_scope.

(** ** Single numbers *)

Definition real (z : Z) : R := IZR z / 2 ^ 100.

Lemma one_is : IZR one = 2 ^ 100. Proof. unfold one. lra. Qed.
Lemma one_pos : 0 < IZR one. Proof. rewrite one_is. lra. Qed.
Lemma real_one : real one = 1. Proof. unfold real. rewrite one_is. lra. Qed.
Lemma real_0 : real 0 = 0. Proof. unfold real. lra. Qed.
Lemma real_plus a b : real (a + b) = real a + real b.
Proof. unfold real. rewrite plus_IZR. lra. Qed.
Lemma real_minus a b : real (a - b) = real a - real b.
Proof. unfold real. rewrite minus_IZR. lra. Qed.
Lemma real_opp a : real (- a) = - real a. Proof. unfold real. rewrite opp_IZR. lra. Qed.
Lemma real_scale a b : real (a * b) = IZR a * real b.
Proof. unfold real. rewrite mult_IZR. lra. Qed.

Lemma real_abs a : real (Z.abs a) = Rabs (real a).
Proof.
  unfold real, Rdiv. rewrite abs_IZR, Rabs_mult, (Rabs_pos_eq (/ 2 ^ 100)); [reflexivity|lra].
Qed.

Lemma real_le a b : (a <= b)%Z -> real a <= real b.
Proof. intros H. apply IZR_le in H. unfold real. lra. Qed.

Lemma real_le_inv a b : real a <= real b -> (a <= b)%Z.
Proof. intros H. apply le_IZR. unfold real in H. lra. Qed.

Lemma real_pos a : (0 <= a)%Z -> 0 <= real a.
Proof. intros H. rewrite <- real_0. now apply real_le. Qed.

Lemma real_max a b : real (Z.max a b) = Rmax (real a) (real b).
Proof.
  destruct (Z.max_spec a b) as [[H ->]|[H ->]].
  - rewrite Rmax_right; [reflexivity|]. apply real_le. lia.
  - rewrite Rmax_left; [reflexivity|]. now apply real_le.
Qed.

Lemma real_min a b : real (Z.min a b) = Rmin (real a) (real b).
Proof.
  destruct (Z.min_spec a b) as [[H ->]|[H ->]].
  - rewrite Rmin_left; [reflexivity|]. apply real_le. lia.
  - rewrite Rmin_right; [reflexivity|]. now apply real_le.
Qed.

Lemma shift_down a n : (0 <= n)%Z -> IZR (Z.shiftr a n) * IZR (2 ^ n) <= IZR a.
Proof.
  intros H. rewrite Z.shiftr_div_pow2 by exact H. rewrite <- mult_IZR. apply IZR_le.
  rewrite Z.mul_comm. apply Z.mul_div_le. now apply Z.pow_pos_nonneg.
Qed.

Lemma shift_up a n : (0 <= n)%Z -> IZR a <= IZR (- Z.shiftr (- a) n) * IZR (2 ^ n).
Proof. intros H. generalize (shift_down (- a) n H). rewrite !opp_IZR. lra. Qed.

(** [a] over [2^200], rounded up. *)
Lemma up_real a : IZR a / 2 ^ 100 / 2 ^ 100 <= real (up a).
Proof.
  unfold real, up. generalize (shift_up a 100 ltac:(lia)). change (IZR (2 ^ 100)) with (IZR one).
  rewrite one_is. lra.
Qed.

Lemma up_product a b : real a * real b <= real (up (a * b)).
Proof. apply Rle_trans with (2 := up_real _). rewrite mult_IZR. unfold real. lra. Qed.

Lemma product_le e x a b : 0 <= e <= real a -> 0 <= x <= real b -> e * x <= real (up (a * b)).
Proof.
  intros [E0 E] [X0 X]. apply Rle_trans with (2 := up_product a b). now apply Rmult_le_compat.
Qed.

Lemma up_pos a : (0 <= a)%Z -> (0 <= up a)%Z.
Proof.
  intros H. unfold up. rewrite Z.shiftr_div_pow2 by lia.
  assert (- a / 2 ^ 100 <= 0)%Z by (apply Z.div_le_upper_bound; lia). lia.
Qed.

Lemma ceil_div_spec a b : (0 < b)%Z -> (a <= b * ceil_div a b)%Z.
Proof. intros H. unfold ceil_div. generalize (Z.mul_div_le (- a) b H). lia. Qed.

Lemma ceil_div_real a b : (0 < b)%Z -> IZR a / IZR b <= IZR (ceil_div a b).
Proof.
  intros H. assert (K := ceil_div_spec a b H). apply IZR_le in K. rewrite mult_IZR in K.
  apply IZR_lt in H. apply (Rmult_le_reg_r (IZR b)); [exact H|]. unfold Rdiv.
  rewrite Rmult_assoc, Rinv_l by lra. lra.
Qed.

Lemma ceil_div_unit a b : (0 < b)%Z -> real a / IZR b <= real (ceil_div a b).
Proof. intros H. generalize (ceil_div_real a b H). unfold real, Rdiv. lra. Qed.

(** A weight that is divided, rounded down. *)
Lemma share_ok w c : c <> 0%Z -> Rabs (real w / real c - real (w * one / c)) <= real 1.
Proof.
  intros Nc. assert (C : IZR c <> 0) by (intros E; now apply eq_IZR in E).
  assert (E : real w / real c - real (w * one / c) = IZR ((w * one) mod c) / IZR c / 2 ^ 100).
  { assert (D := Z.div_mod (w * one) c Nc). apply (f_equal IZR) in D. rewrite plus_IZR, !mult_IZR,
      one_is in D.
    apply (Rmult_eq_reg_r (IZR c * 2 ^ 100)); [|apply Rmult_integral_contrapositive; lra].
    unfold real.
    replace ((IZR w / 2 ^ 100 / (IZR c / 2 ^ 100) -
      IZR (w * one / c) / 2 ^ 100) * (IZR c * 2 ^ 100)) with
      (IZR w * 2 ^ 100 - IZR c * IZR (w * one / c)) by (field; lra).
    replace (IZR ((w * one) mod c) / IZR c / 2 ^ 100 * (IZR c * 2 ^ 100))
      with (IZR ((w * one) mod c)) by (field; lra). lra. }
  rewrite E. unfold real. unfold Rdiv at 1. rewrite Rabs_mult, (Rabs_pos_eq (/ 2 ^ 100)) by lra.
  apply Rmult_le_compat_r; [lra|]. unfold Rdiv. rewrite Rabs_mult, Rabs_inv.
  assert (P := Rabs_pos_lt _ C). apply (Rmult_le_reg_r (Rabs (IZR c))); [exact P|].
  rewrite Rmult_assoc, Rinv_l, Rmult_1_r, Rmult_1_l, <- !abs_IZR by lra. apply IZR_le.
  destruct (Z.lt_trichotomy c 0) as [L|[L|L]]; [|easy|].
  - generalize (Z.mod_neg_bound (w * one) c L). lia.
  - generalize (Z.mod_pos_bound (w * one) c L). lia.
Qed.

Lemma ceil_div_pos a b : (0 <= a)%Z -> (0 < b)%Z -> (0 <= ceil_div a b)%Z.
Proof.
  intros Ha Hb. unfold ceil_div. assert (- a / b <= 0)%Z by (apply Z.div_le_upper_bound; lia). lia.
Qed.

Lemma zsum_real l : real (zsum l) = total (map real l).
Proof.
  induction l as [|x l IH]; [apply real_0|]. cbn [zsum fold_right map]. fold (zsum l).
  now rewrite real_plus, IH.
Qed.

Lemma zsum_number l : IZR (zsum l) = total (map IZR l).
Proof.
  induction l as [|x l IH]; [reflexivity|]. cbn [zsum fold_right map]. fold (zsum l).
  now rewrite plus_IZR, IH.
Qed.

(** ** Numbers of units *)

Definition num (p : positive) : nat := pred (Pos.to_nat p).
Definition key (k : nat) : positive := Pos.of_succ_nat k.

Lemma num_key k : num (key k) = k.
Proof. unfold num, key. now rewrite SuccNat2Pos.id_succ. Qed.

Lemma key_num p : key (num p) = p.
Proof.
  unfold num, key. apply Pos2Nat.inj. rewrite SuccNat2Pos.id_succ. generalize (Pos2Nat.is_pos p).
  lia.
Qed.

Lemma num_lt i j : (i < j)%positive -> (num i < num j)%nat.
Proof. intros H. apply Pos2Nat.inj_lt in H. unfold num. generalize (Pos2Nat.is_pos i). lia. Qed.

Lemma num_eqb i j : Pos.eqb i j = (num i =? num j)%nat.
Proof.
  destruct (Pos.eqb_spec i j) as [->|N]; [now rewrite Nat.eqb_refl|]. symmetry. apply Nat.eqb_neq.
  intros E. apply N. rewrite <- (key_num i), <- (key_num j). now rewrite E.
Qed.

Lemma numbered_nth {A} (l : list A) k x : nth_error l k = Some x -> In (key k, x) (numbered 1 l).
Proof.
  assert (G : forall (l : list A) p k x, nth_error l k = Some x ->
    In (key (num p + k), x) (numbered p l)).
  { clear. induction l as [|y l IH]; intros p [|k] x H; try easy; cbn [numbered nth_error] in *.
    - left. injection H as ->. now rewrite Nat.add_0_r, key_num.
    - right. replace (num p + S k)%nat with (num (Pos.succ p) + k)%nat; [now apply IH|].
      unfold num. rewrite Pos2Nat.inj_succ. generalize (Pos2Nat.is_pos p). lia. }
  exact (G l 1%positive k x).
Qed.

Lemma numbered_total {A} (f : positive -> A -> R) (l : list A) d :
  total (map (fun x => f (fst x) (snd x)) (numbered 1 l)) =
  over (length l) (fun k => f (key k) (nth k l d)).
Proof.
  assert (G : forall p, total (map (fun x => f (fst x) (snd x)) (numbered p l)) =
    over (length l) (fun k => f (key (num p + k)) (nth k l d))).
  { induction l as [|x l IH]; intros p; [reflexivity|]. cbn [numbered map length]. unfold over.
    cbn [seq map]. rewrite <- seq_shift, map_map. unfold total in *. cbn [fold_right].
    rewrite Nat.add_0_r, key_num. cbn [nth fst snd]. f_equal. rewrite IH. unfold over, total.
    f_equal. apply map_ext. intros k. do 2 f_equal. unfold num. rewrite Pos2Nat.inj_succ.
    generalize (Pos2Nat.is_pos p). lia. }
  exact (G 1%positive).
Qed.

Lemma numbered_keys {A} (l : list A) k : (exists x, In (k, x) (numbered 1 l)) ->
  (num k < length l)%nat.
Proof.
  assert (G : forall (l : list A) p k x, In (k, x) (numbered p l) ->
    (num p <= num k < num p + length l)%nat).
  { clear. induction l as [|y l IH]; intros p k x H; [easy|]. cbn [numbered length] in *.
    destruct H as [[= <- <-]|H]; [lia|]. specialize (IH _ _ _ H). unfold num in *.
    rewrite Pos2Nat.inj_succ in IH. generalize (Pos2Nat.is_pos p). lia. }
  intros [x H]. specialize (G l 1%positive k x H). unfold num in *. simpl in G. lia.
Qed.

(** A pair of classes is one of those that the checker goes through. *)
Lemma in_pairs n c j : (j <= c)%nat -> (c < n)%nat -> In (c, j) (pairs n).
Proof.
  intros Hj Hc. unfold pairs. apply in_flat_map. exists c. split; [apply in_seq; lia|].
  apply in_map_iff. exists j. split; [reflexivity|]. apply in_seq. lia.
Qed.
