(** * The computed softmax

    - [probabilities]: from finite logits in range, at most 2^14 of them, the probabilities that a
      runtime computes are finite and within [softmax_error n] of the softmax of the logits;
    - [softmax_error n] is [1.1 ((n + 1) theta + (2 n + 1) u)] with [theta = u / 2 + 2^-20].

    Rests on Sums.v, Softmax.v, Exponentials.v, and the assumptions on exp and softmax in
    Statement.v; division, or multiplication with the rounded reciprocal. Stands behind
    [softmax_error] of conclude.py. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Folds
  binary32.Additions.
From Lastbit Require Import binary32.Sums binary32.Layers.
From Lastbit Require Import curves.Softmax curves.Exponentials.
Import ListNotations.
Open Scope R_scope.

Definition theta : R := u / 2 + / 2 ^ 20.
Definition softmax_error (n : nat) : R := 11 / 10 * ((INR n + 1) * theta + (2 * INR n + 1) * u).

Section Softmax.
Variable n : nat.
Hypothesis Hn : (n <= 2 ^ 14)%nat.
Variables z p : nat -> value.
Variable r : nat -> R.
Hypothesis Hz : forall j, (j < n)%nat -> z j = Finite (r j).
Hypothesis Hr : forall j, (j < n)%nat -> Rabs (r j) <= largest / 2.
Hypothesis H : computes_softmax n z p.

(** Its weights, relative to the largest logit [k]. *)
Let weight (k j : nat) : R := exp (r j - r k).
Let slack : R := 0.45 * u + / 2 ^ 20.

Lemma one_exponential k j d e : (k < n)%nat -> (j < n)%nat -> r j <= r k ->
  computes Rminus (z j) (z k) d -> computes_exp d e ->
  exists x, e = Finite x /\ Rabs (x - weight k j) <= slack.
Proof.
  intros Hk Hj Hm Cd Ce. assert (Hu := u_pos). assert (He := eta_pos). assert (Eu := eta_u).
  assert (U1 : u <= / 2 ^ 24) by (unfold u; lra).
  destruct (Cd (r j) (r k) (Hz j Hj) (Hz k Hk)) as (a & b & Ra & Rb & Hv).
  assert (A1 := reads_abs _ _ Ra). assert (B1 := reads_abs _ _ Rb).
  assert (A2 := reads_error _ _ Ra). assert (B2 := reads_error _ _ Rb).
  assert (L1 := Hr j Hj). assert (L2 := Hr k Hk).
  assert (T := Rabs_triang a (- b)). rewrite Rabs_Ropp in T.
  destruct (rounds_error _ _ Hv) as (x & -> & Hx); [unfold Rminus; lra|].
  destruct (Ce x eq_refl) as (Nx & y & -> & Hy). exists y. split; [reflexivity|].
  assert (D : Rabs ((a - b) - (r j - r k)) <= 2 * eta).
  { replace ((a - b) - (r j - r k)) with ((a - r j) + - (b - r k)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). rewrite Rabs_Ropp. lra. }
  assert (D2 : Rabs (a - b) <= Rabs (r j - r k) + 2 * eta).
  { replace (a - b) with ((a - b - (r j - r k)) + (r j - r k)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). lra. }
  assert (K : Rabs (exp x - weight k j) <= 0.44 * u).
  { apply rounded_argument; [lra|exact Nx|].
    replace (x - (r j - r k)) with ((x - (a - b)) + (a - b - (r j - r k))) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _).
    assert (u * Rabs (a - b) <= u * (Rabs (r j - r k) + 2 * eta)) by (apply Rmult_le_compat_l; lra).
    assert (u * eta <= / 2 ^ 24 * eta) by (apply Rmult_le_compat_r; lra). lra. }
  replace (y - weight k j) with ((y - exp x) + (exp x - weight k j)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _).
  assert (exp x <= 1)
    by (rewrite <- exp_0; destruct Nx as [Nx| ->]; [apply Rlt_le, exp_increasing, Nx|lra]).
  unfold slack. lra.
Qed.

Lemma softmax_weight k c : (k < n)%nat -> softmax n r c = weight k c / over n (weight k).
Proof.
  intros Hk. unfold softmax, weight.
  assert (E : over n (fun j => exp (r j)) = exp (r k) * over n (fun j => exp (r j - r k))).
  { rewrite <- over_scale. apply over_ext. intros. rewrite <- exp_plus. f_equal. ring. }
  rewrite E.
  replace (exp (r c)) with (exp (r k) * exp (r c - r k)) by (rewrite <- exp_plus; f_equal; ring).
  assert (P := exp_pos (r k)).
  assert (Q : exp (r k - r k) <= over n (fun j => exp (r j - r k))).
  { apply (over_member n (fun j => exp (r j - r k))); [exact Hk|]. intros. apply Rlt_le, exp_pos. }
  generalize (exp_pos (r k - r k)). intros. field. lra.
Qed.

Lemma n_small : INR n <= 2 ^ 14.
Proof.
  replace (2 ^ 14) with (INR (2 ^ 14)) by (rewrite pow_INR; reflexivity). now apply le_INR.
Qed.

(** The computed sum of the exponentials [e]. *)
Lemma sum_of_exponentials k (e : nat -> R) s : (k < n)%nat ->
  (forall j, (j < n)%nat -> r j <= r k) ->
  (forall j, (j < n)%nat -> Rabs (e j - weight k j) <= slack) ->
  sum (map (fun j => ([], e j)) (seq 0 n)) s ->
  let S := over n (weight k) in
  1 <= S <= INR n /\
  exists q, s = Finite q /\ Rabs (q - S) <= INR n * slack + 1.03 * u * INR n * S.
Proof.
  intros Hk Hmax He Hs S. assert (Hu := u_pos). assert (Ht := eta_pos). assert (Eu := eta_u).
  assert (U1 : u = / 2 ^ 24) by reflexivity. assert (Sn := n_small).
  assert (N1 : 1 <= INR n) by (replace 1 with (INR 1) by reflexivity; apply le_INR; lia).
  assert (Hsl : 0 < slack <= / 2 ^ 19) by (unfold slack; lra).
  assert (Nsl : INR n * slack <= 0.0165).
  { apply Rle_trans with (2 ^ 14 * (0.45 * u + / 2 ^ 20));
      [apply Rmult_le_compat; unfold slack in *; lra|]. lra. }
  assert (S1 : 1 <= S).
  { replace 1 with (weight k k) by (unfold weight; rewrite Rminus_diag_eq, exp_0; easy).
    apply over_member; [exact Hk|]. intros. apply Rlt_le, exp_pos. }
  assert (S2 : S <= INR n).
  { apply Rle_trans with (over n (fun _ => 1)).
    - apply over_le. intros j Hj. unfold weight. rewrite <- exp_0. specialize (Hmax j Hj).
      destruct (Req_dec (r j - r k) 0) as [->|]; [lra|]. apply Rlt_le, exp_increasing. lra.
    - clear. induction n as [|m IH]; [unfold over; simpl; lra|]. rewrite over_S, S_INR. lra. }
  split; [lra|]. set (l := map (fun j => ([], e j)) (seq 0 n) : list term) in *.
  assert (Ex : forall x, exact ([], x) = x) by (intros; unfold exact, constant; cbn; ring).
  assert (X : exact_sum l = over n e).
  { unfold exact_sum, over, l. rewrite map_map. f_equal. apply map_ext. intros. apply Ex. }
  assert (Sz : size l = over n (fun j => Rabs (e j))).
  { unfold size, over, l. rewrite map_map. f_equal. apply map_ext. intros. unfold magnitude. now
      rewrite Ex. }
  assert (Sz2 : size l <= 1.02 * S).
  { rewrite Sz. assert (K := over_near n (fun j => Rabs (e j)) (weight k) slack).
    assert (K' : Rabs (over n (fun j => Rabs (e j)) - S) <= INR n * slack).
    { apply K. intros j Hj. apply Rle_trans with (2 := He j Hj).
      assert (P := exp_pos (r j - r k)). fold (weight k j) in P.
      rewrite <- (Rabs_pos_eq (weight k j)) at 1 by lra. apply Rabs_triang_inv2. }
    apply Rle_trans with (S + 0.0165); [|lra]. unfold Rabs at 1 in K'.
    destruct Rcase_abs in K'; lra. }
  assert (Ln : length l = n) by (unfold l; now rewrite length_map, length_seq).
  assert (Lv := kept_length l). rewrite Ln in Lv.
  assert (Sp : spread l = size l + INR n).
  { rewrite <- Ln. unfold spread, size, l. clear -Ex. induction (seq 0 n) as [|j q IH];
      [simpl; lra|].
    cbn [map length]. rewrite !total_cons, S_INR, IH. unfold spread_of, magnitude, room.
    rewrite Ex. cbn. lra. }
  assert (Rg : in_range 0%nat 0%nat l).
  { split; [|split].
    - unfold l. apply Forall_forall. intros t Ht'. apply in_map_iff in Ht'.
      destruct Ht' as (j & <- & _).
      split; [now left|]. split; apply le_n.
    - rewrite Sp. unfold largest. lra.
    - rewrite !Nat.add_0_r, Ln. lra. }
  assert (Hh : INR n * u <= / 2 ^ 10).
  { apply Rle_trans with (2 ^ 14 * u); [apply Rmult_le_compat_r; lra|]. rewrite U1. lra. }
  assert (Err : error 0%nat 0%nat (size l) (size l) l + eta <= 1.03 * u * INR n * S).
  { unfold error, first_order. rewrite Nat.add_0_r. set (h := pred (length (live l))).
    assert (G := growth_inv h n ltac:(unfold h; lia) ltac:(lra)). set (A := (1 + u) ^ h) in *.
    assert (A2 : A <= 1.001).
    { apply Rle_trans with (1 := G). apply (Rmult_le_reg_r (1 - INR n * u)); [lra|].
      rewrite Rinv_l; lra. }
    assert (A1 : 1 <= A) by apply pow_1u.
    assert (P0 := charged_size 0%nat 0%nat l (proj1 Rg)). assert (P1 := charged_pos l).
    simpl (INR 0) in P0.
    assert (W := worst_simple (size l) (size l) _ (live_nonneg l)). rewrite total_live in W.
    specialize (W (Rle_refl _)). fold h in W. assert (Pn : INR h <= INR n - 1).
    { replace (INR n - 1) with (INR (pred n)).
      - apply le_INR. unfold h. lia.
      - destruct n; [lia|]. cbn [pred]. rewrite S_INR. lra. }
    assert (K0 := pos_INR h).
    assert (W2 : worst (size l) (size l) (live l) <= (INR n - 1) * (1.02 * S)).
    { apply Rle_trans with (1 := W). apply Rmult_le_compat;
        [exact K0|apply size_pos|exact Pn|exact Sz2]. }
    assert (Sk := spread_kept l). assert (S0 := spread_pos (kept l)). rewrite Sp in Sk.
    assert (Q : u * (worst (size l) (size l) (live l) + total (map charged l)) +
      eta * flushed 0 (kept l) <=
                1.02 * u * (INR n - 1) * S + 0.001 * u * S).
    { assert (u * (worst (size l) (size l) (live l) + total (map charged l)) <=
        u * ((INR n - 1) * (1.02 * S))).
      { apply Rmult_le_compat_l; lra. }
      assert (V : eta * flushed 0 (kept l) <= 0.001 * u * S).
      { apply Rle_trans with (eta * (12 * (2 ^ 15 * S))).
        - apply Rmult_le_compat_l; [lra|]. destruct (flushed_range 0 (kept l)) as [_ V].
          simpl (INR 1) in V. lra.
        - rewrite <- !Rmult_assoc. apply Rmult_le_compat_r; [lra|]. unfold eta, u. lra. }
      lra. }
    assert (Z0 : 0 <= u * (INR n - 1) * S) by (apply Rmult_le_pos; [apply Rmult_le_pos|]; lra).
    assert (Z1 : 0 <= u * S) by (apply Rmult_le_pos; lra).
    assert (Y : A * (u * (worst (size l) (size l) (live l) + total (map charged l)) +
      eta * flushed 0 (kept l)) <=
                1.001 * (1.02 * u * (INR n - 1) * S + 0.001 * u * S)).
    { apply Rle_trans with (A * (1.02 * u * (INR n - 1) * S + 0.001 * u * S));
        [apply Rmult_le_compat_l; lra|].
      apply Rmult_le_compat_r; lra. }
    assert (u * 1 <= u * S) by (apply Rmult_le_compat_l; lra).
    replace (1.03 * u * INR n * S) with (1.03 * u * (INR n - 1) * S + 1.03 * (u * S)) by ring.
    lra. }
  assert (Small : 1.03 * u * INR n * S <= 0.002 * S).
  { apply Rmult_le_compat_r; [lra|]. lra. }
  assert (Bd : bounded (size l) l)
    by (apply (bounded_parts _ (size l)); [apply exact_sum_size|lra]).
  destruct (sum_error l s Hs 0%nat 0%nat (size l) (size l) Rg Bd (conj (exact_sum_size l) (Rle_refl
    _))) as (a & q & -> & Ra & Ea).
  exists q. split; [reflexivity|].
  assert (K := over_near n e (weight k) slack He). fold S in K. rewrite X in Ea.
  replace (q - S) with ((q - a) + ((a - over n e) + (over n e - S))) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _).
  assert (T := Rabs_triang (a - over n e) (over n e - S)). assert (R1 := reads_error _ _ Ra). lra.
Qed.

(* map: a computed softmax is finite, and within its error of the exact one *)
Theorem probabilities c : (c < n)%nat ->
  exists y, p c = Finite y /\ Rabs (y - softmax n r c) <= softmax_error n.
Proof.
  intros Hc. assert (Hu := u_pos). assert (Sn := n_small).
  assert (U1 : u = / 2 ^ 24) by reflexivity.
  assert (N1 : 1 <= INR n) by (replace 1 with (INR 1) by reflexivity; apply le_INR; lia).
  destruct H as (k & d & e & s & Hk & Hmax & Hde & Hs & Hp & _).
  assert (Mx : forall j, (j < n)%nat -> r j <= r k).
  { intros j Hj. now apply (Hmax j); [|apply Hz|apply Hz]. }
  assert (EX : forall j, (j < n)%nat -> exists x, e j = Finite x /\ Rabs (x - weight k j) <= slack).
  { intros j Hj. destruct (Hde j Hj) as [Cd Ce].
    now apply (one_exponential k j (d j)); [..|apply Mx| |]. }
  pose (f := fun j => match e j with Finite x => x | Overflow => 0 end).
  assert (Ef : forall j, (j < n)%nat -> e j = Finite (f j) /\ Rabs (f j - weight k j) <= slack).
  { intros j Hj. destruct (EX j Hj) as (x & E & B). unfold f. rewrite E. auto. }
  destruct (sum_of_exponentials k f s Hk Mx (fun j Hj => proj2 (Ef j Hj)))
    as ([S1 S2] & q & -> & Hq).
  { apply Hs. intros j Hj. now apply Ef. }
  set (S := over n (weight k)) in *.
  assert (Hsl : 0 < slack) by (unfold slack; lra).
  set (x := INR n * slack + 1.03 * u * INR n).
  assert (Hx : 0 <= x <= 0.02).
  { unfold x. split.
    - assert (0 <= INR n * slack) by (apply Rmult_le_pos; lra).
      assert (0 <= u * INR n) by (apply Rmult_le_pos; lra). lra.
    - assert (INR n * slack <= 2 ^ 14 * slack) by (apply Rmult_le_compat_r; lra).
      assert (u * INR n <= u * 2 ^ 14) by (apply Rmult_le_compat_l; lra). unfold slack in *.
      rewrite U1 in *. lra. }
  assert (Hq2 : Rabs (q - S) <= x * S).
  { apply Rle_trans with (1 := Hq). unfold x.
    assert (INR n * slack * 1 <= INR n * slack * S)
      by (apply Rmult_le_compat_l; [apply Rmult_le_pos|]; lra). lra. }
  assert (E01 : 0 <= weight k c <= 1).
  { unfold weight. split; [apply Rlt_le, exp_pos|]. rewrite <- exp_0. specialize (Mx c Hc).
    destruct (Req_dec (r c - r k) 0) as [->|]; [lra|]. apply Rlt_le, exp_increasing. lra. }
  assert (slack_x : slack <= x).
  { unfold x. assert (1 * slack <= INR n * slack) by (apply Rmult_le_compat_r; lra).
    assert (0 <= u * INR n) by (apply Rmult_le_pos; lra). lra. }
  destruct (Ef c Hc) as [Ec Bc]. assert (D := Hp c Hc). rewrite Ec in D.
  assert (Ls : 2 ^ 20 <= largest) by (unfold largest; lra).
  destruct (quotient_error (weight k c) S (f c) q (p c) x E01 ltac:(lra) ltac:(lra) Hx ltac:(lra)
    Hq2 D ltac:(lra))
    as (y & -> & By).
  exists y. split; [reflexivity|]. rewrite (softmax_weight k c Hk). fold S.
  assert (Q1 : 0.98 * S <= q).
  { assert (x * S <= 0.02 * S) by (apply Rmult_le_compat_r; lra). unfold Rabs in Hq2.
    destruct Rcase_abs in Hq2; lra. }
  assert (I1 : / q <= 1.021).
  { apply (Rmult_le_reg_r q); [lra|]. rewrite Rinv_l by lra. lra. }
  assert (I0 : 0 < / q) by (apply Rinv_0_lt_compat; lra).
  assert (Main : Rabs (f c / q - weight k c / S) <= 1.021 * (slack + x)).
  { replace (f c / q - weight k c / S) with (/ q * ((f c - weight k c) + weight k c / S * (S - q)))
      by (field; lra).
    rewrite Rabs_mult, (Rabs_pos_eq (/ q)) by lra.
    apply Rle_trans with (/ q * (slack + x)); [|apply Rmult_le_compat_r; lra].
    apply Rmult_le_compat_l; [lra|]. apply Rle_trans with (1 := Rabs_triang _ _).
    rewrite Rabs_mult. rewrite (Rabs_minus_sym S q).
    assert (W : Rabs (weight k c / S) * Rabs (q - S) <= x).
    { unfold Rdiv.
      rewrite Rabs_mult, (Rabs_pos_eq (weight k c)), (Rabs_pos_eq (/ S))
        by (try (apply Rlt_le, Rinv_0_lt_compat); lra).
      apply Rle_trans with (1 * / S * (x * S)).
      - apply Rmult_le_compat;
          [apply Rmult_le_pos; [lra|apply Rlt_le, Rinv_0_lt_compat; lra]|apply
            Rabs_pos| |exact Hq2].
        apply Rmult_le_compat_r; [apply Rlt_le, Rinv_0_lt_compat; lra|lra].
      - right. field. lra. }
    lra. }
  replace (y - weight k c / S) with ((y - f c / q) + (f c / q - weight k c / S)) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _). unfold softmax_error, theta. unfold x, slack in Main.
  assert (0 <= u * INR n) by (apply Rmult_le_pos; lra).
  assert (1 * u <= INR n * u) by (apply Rmult_le_compat_r; lra).
  assert (Z : 1.021 * (0.45 * u + / 2 ^ 20 + (INR n * (0.45 * u + / 2 ^ 20) + 1.03 * u * INR n)) +
    2.2 * u <=
     11 / 10 * ((INR n + 1) * (u / 2 + / 2 ^ 20) + (2 * INR n + 1) * u)) by (rewrite U1 in *; lra).
  lra.
Qed.

Theorem probability_01 c y : (c < n)%nat -> p c = Finite y -> 0 <= y <= 1.
Proof.
  intros Hc Hy. destruct H as (k & d & e & s & _ & _ & _ & _ & _ & P). exact (P c y Hc Hy).
Qed.
End Softmax.
